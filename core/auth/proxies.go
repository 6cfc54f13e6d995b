package auth

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

// Proxies says whom X-Forwarded-For, -Proto and -Host are believed from, and so where a request came from and what
// address the client knows the hub by. The zero value believes nobody. It is not changed after it was made.
type Proxies struct {
	trusted []netip.Prefix
	public  string // scheme and host of PUBLIC_URL, "" if not set
}

// NewProxies makes a Proxies that trusts these networks (HALLMARK_TRUSTED_PROXIES: CIDRs or addresses, separated by
// commas or spaces). publicURL (HALLMARK_PUBLIC_URL) may be empty.
func NewProxies(trusted, publicURL string) (*Proxies, error) {
	p := &Proxies{}
	for _, s := range strings.FieldsFunc(trusted, func(r rune) bool { return r == ',' || r == ' ' }) {
		prefix, err := netip.ParsePrefix(s)
		if err != nil {
			addr, e := netip.ParseAddr(s)
			if e != nil {
				return nil, fmt.Errorf("HALLMARK_TRUSTED_PROXIES: %q is neither an address nor a network such as 10.0.0.0/8", s)
			}
			prefix = netip.PrefixFrom(addr.Unmap(), addr.Unmap().BitLen())
		}
		p.trusted = append(p.trusted, prefix.Masked())
	}
	if publicURL == "" {
		return p, nil
	}
	u, err := url.Parse(publicURL)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || !validHost(u.Host) || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.User != nil {
		return nil, fmt.Errorf("HALLMARK_PUBLIC_URL: %q is not an address such as https://hub.example.org", publicURL)
	}
	p.public = u.Scheme + "://" + u.Host
	return p, nil
}

// Client is the address a request came from: that of the peer or, where that is a trusted proxy, the last one in
// X-Forwarded-For that is none. It is invalid for a local socket.
func (p *Proxies) Client(r *http.Request) netip.Addr {
	addr := peer(r)
	if !p.Trusts(addr) {
		return addr
	}
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for i := len(hops) - 1; i >= 0; i-- {
		hop, ok := parseHop(hops[i])
		if !ok {
			return addr
		}
		addr = hop
		if !p.Trusts(addr) {
			return addr
		}
	}
	return addr
}

// Base is scheme and host by which the client knows the hub, without a slash at the end: PUBLIC_URL, else what the
// request says and, from a trusted proxy, X-Forwarded-Proto and X-Forwarded-Host. "" if the request has no usable host.
func (p *Proxies) Base(r *http.Request) string {
	if p.public != "" {
		return p.public
	}
	host := r.Host
	if p.Trusts(peer(r)) {
		if h := lastValue(r, "X-Forwarded-Host"); h != "" {
			host = h
		}
	}
	if !validHost(host) {
		return ""
	}
	if p.Secure(r) {
		return "https://" + host
	}
	return "http://" + host
}

// Realm is the address of the token service as the client knows it, for WWW-Authenticate.
func (p *Proxies) Realm(r *http.Request) string { return p.Base(r) + "/service/token" }

// Secure reports whether the client speaks TLS: to us, or to a trusted proxy that says so.
func (p *Proxies) Secure(r *http.Request) bool {
	if r.TLS != nil {
		return true
	}
	return p.Trusts(peer(r)) && strings.EqualFold(lastValue(r, "X-Forwarded-Proto"), "https")
}

func (p *Proxies) Trusts(a netip.Addr) bool {
	for _, t := range p.trusted {
		if t.Contains(a) {
			return true
		}
	}
	return false
}

func peer(r *http.Request) netip.Addr {
	ap, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	return ap.Addr().Unmap().WithZone("")
}

func parseHop(s string) (netip.Addr, bool) {
	s = strings.TrimSpace(s)
	if ap, err := netip.ParseAddrPort(s); err == nil {
		return ap.Addr().Unmap().WithZone(""), true
	}
	a, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(s, "["), "]"))
	return a.Unmap().WithZone(""), err == nil
}

// lastValue is what the proxy next to us wrote: what stands before it may be the client's.
func lastValue(r *http.Request, name string) string {
	v := r.Header.Values(name)
	if len(v) == 0 {
		return ""
	}
	last := v[len(v)-1]
	return strings.TrimSpace(last[strings.LastIndexByte(last, ',')+1:])
}

// validHost reports whether s is a host with or without port that can stand in a header and in a URL.
func validHost(s string) bool {
	if s == "" || len(s) > 261 { // 255 bytes of name, colon, port
		return false
	}
	host := s
	if h, port, err := net.SplitHostPort(s); err == nil {
		if _, err := strconv.ParseUint(port, 10, 16); err != nil {
			return false
		}
		host = h
	} else if strings.HasPrefix(s, "[") {
		host = strings.TrimSuffix(s[1:], "]")
	}
	if _, err := netip.ParseAddr(host); err == nil {
		return true
	}
	for _, r := range host {
		if (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '.' && r != '-' && r != '_' {
			return false
		}
	}
	return host != ""
}

// network is what failed log-ins are counted by: the address, or the /64 of an IPv6 address, since one customer has
// that many.
func network(a netip.Addr) string {
	if !a.IsValid() {
		return "local"
	}
	if a.Is6() {
		prefix, _ := a.Prefix(64)
		return prefix.String()
	}
	return a.String()
}
