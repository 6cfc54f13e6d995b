package pages

import (
	"bytes"
	"html/template"
	"net"
	"net/http"
	"strconv"
	"strings"

	"github.com/hallmarkhub/hallmark/core/auth"
)

// Home is the first page until there is a portal: the hub's address and the commands that show what it is for.
type Home struct {
	proxies  *auth.Proxies
	template *template.Template
	style    template.CSS
}

// NewHome makes it.
func NewHome(p *auth.Proxies) (*Home, error) {
	style, err := files.ReadFile("style.css")
	if err != nil {
		return nil, err
	}
	t, err := template.ParseFS(files, "home.html")
	return &Home{proxies: p, template: t, style: template.CSS(style)}, err
}

type homePage struct {
	Lang, Host, URL, Nonce string
	Plain                  bool // docker would refuse this address without being told that it is not TLS
	Style                  template.CSS
	T                      homeText
}

type homeText struct{ Lead, Address, Login, LoginNote, Push, Sign, SignNote, Pull, Plain, Project, More, Docs string }

// ServeHTTP answers with the page, in the language the browser asks for.
func (h *Home) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	base := h.proxies.Base(r)
	host, plain := strings.CutPrefix(base, "http://")
	host = strings.TrimPrefix(host, "https://")
	page := homePage{Host: host, URL: base, Nonce: nonceMark, Style: h.style, Plain: plain && !local(host)}
	page.Lang, page.T = "en", english()
	if PrefersChinese(r.Header.Get("Accept-Language")) {
		page.Lang, page.T = "zh-CN", chinese()
	}
	var out bytes.Buffer
	if err := h.template.Execute(&out, page); err != nil {
		http.Error(w, "the page could not be made", http.StatusInternalServerError)
		return
	}
	w.Header().Add("Vary", "Accept-Language")
	w.Header().Set("Content-Language", page.Lang)
	write(w, out.Bytes())
}

// local says whether docker takes an address without TLS.
func local(host string) bool {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	ip := net.ParseIP(strings.Trim(host, "[]"))
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// PrefersChinese says whether Chinese comes before English in an Accept-Language header.
func PrefersChinese(header string) bool {
	best := map[string]float64{}
	for _, part := range strings.Split(header, ",") {
		tag, params, _ := strings.Cut(strings.TrimSpace(part), ";")
		q := 1.0
		if v, ok := strings.CutPrefix(strings.TrimSpace(params), "q="); ok {
			var err error
			if q, err = strconv.ParseFloat(v, 64); err != nil {
				q = 0
			}
		}
		language, _, _ := strings.Cut(strings.ToLower(tag), "-")
		best[language] = max(best[language], q)
	}
	return best["zh"] > best["en"]
}

func english() homeText {
	return homeText{
		Lead:    "A registry for container images, charts and other OCI artifacts, with projects, people, robots and an audit trail.",
		Address: "Address of this hub:", Login: "Log in", Push: "Push", Pull: "Pull", Project: "A project of your own", More: "More",
		LoginNote: "On a new hub the user is admin; the first start wrote the password to the file admin-secret in the data directory.",
		Plain:     "This hub is reached without TLS: docker asks for its address in “insecure-registries” of /etc/docker/daemon.json.",
		Sign:      "Sign", SignNote: "Until then a project that demands signatures refuses it to everybody else.",
		Docs: "Documentation of the API",
	}
}

func chinese() homeText {
	return homeText{
		Lead:    "容器镜像、Helm Chart 及其他 OCI 制品的仓库，带有项目、成员、机器人账号和审计记录。",
		Address: "本站地址：", Login: "登录", Push: "推送", Pull: "拉取", Project: "创建自己的项目", More: "更多",
		LoginNote: "新安装的站点用户名为 admin，密码在首次启动时写入数据目录下的 admin-secret 文件。",
		Plain:     "当前访问未使用 TLS：请在 /etc/docker/daemon.json 的 insecure-registries 中加入本站地址。",
		Sign:      "签名", SignNote: "在要求签名的项目中，未签名的镜像其他人无法拉取。",
		Docs: "API 文档",
	}
}
