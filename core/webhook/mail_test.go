package webhook_test

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"io"
	"math/big"
	"mime"
	"mime/quotedprintable"
	"net"
	"net/mail"
	"net/textproto"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hallmarkhub/hallmark/core/db/dbtest"
	"github.com/hallmarkhub/hallmark/core/event"
	"github.com/hallmarkhub/hallmark/core/store"
	"github.com/hallmarkhub/hallmark/core/webhook"
)

// postOffice is a mail server. What it was told is in said, each command with whether it came over TLS.
type postOffice struct {
	secure   *tls.Config
	startTLS bool
	implicit bool
	answers  map[string]string // to the beginning of a command, instead of 250
	listener net.Listener
	done     sync.WaitGroup

	mu    sync.Mutex
	said  []string
	mails []letter
}

type letter struct {
	to   string
	text string
}

const mailPassword = "pass:word-canary"

func (p *postOffice) open(t *testing.T) *x509.CertPool {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	// 0.0.0.0 is this machine, too, but nothing that the hub takes for it.
	cert := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv4zero}}
	der, err := x509.CreateCertificate(rand.Reader, cert, cert, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	if cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	p.secure = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
	if p.listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	p.done.Go(func() {
		for {
			conn, err := p.listener.Accept()
			if err != nil {
				return
			}
			p.done.Go(func() {
				defer conn.Close()
				p.serve(conn)
			})
		}
	})
	t.Cleanup(func() {
		p.listener.Close()
		p.done.Wait()
	})
	pool := x509.NewCertPool()
	pool.AddCert(cert)
	return pool
}

func (p *postOffice) port() int { return p.listener.Addr().(*net.TCPAddr).Port }

// serve is one conversation, as RFC 5321 has it.
func (p *postOffice) serve(conn net.Conn) {
	encrypted := p.implicit
	if p.implicit {
		conn = tls.Server(conn, p.secure)
	}
	text := textproto.NewConn(conn)
	text.PrintfLine("220 post.test ESMTP")
	var to string
	for {
		line, err := text.ReadLine()
		if err != nil {
			return
		}
		p.mu.Lock()
		p.said = append(p.said, fmt.Sprintf("%v %s", encrypted, line))
		p.mu.Unlock()
		verb, rest, _ := strings.Cut(line, " ")
		said := "250 2.0.0 fine"
		for begin, a := range p.answers {
			if strings.HasPrefix(line, begin) {
				said = a
			}
		}
		switch {
		case said[0] != '2':
		case verb == "EHLO":
			text.PrintfLine("250-post.test")
			if p.startTLS && !encrypted {
				text.PrintfLine("250-STARTTLS")
			}
			said = "250 AUTH PLAIN"
		case verb == "AUTH":
			if given, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(rest, "PLAIN ")); err != nil || string(given) != "\x00hub\x00"+mailPassword {
				said = "535 5.7.8 no such user with " + rest
			} else {
				said = "235 2.7.0 welcome"
			}
		case verb == "STARTTLS":
			text.PrintfLine("220 go on")
			conn, encrypted = tls.Server(conn, p.secure), true
			text = textproto.NewConn(conn)
			continue
		case verb == "RCPT":
			to = rest
		case verb == "DATA":
			text.PrintfLine("354 go on")
			all, err := io.ReadAll(text.DotReader())
			if err != nil {
				return
			}
			p.mu.Lock()
			p.mails = append(p.mails, letter{to, string(all)})
			p.mu.Unlock()
		case verb == "QUIT":
			text.PrintfLine("221 bye")
			return
		}
		text.PrintfLine("%s", said)
	}
}

// heard is whether a command came, and over TLS or not.
func (p *postOffice) heard(command string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return strings.Contains("\n"+strings.Join(p.said, "\n"), "\n"+command)
}

// mailDesk is a hub that has a mail server, and a webhook that tells people in Chinese.
func mailDesk(t *testing.T, p *postOffice, address string, to ...string) *desk {
	t.Helper()
	roots := p.open(t)
	m, err := webhook.ParseMail(strings.NewReplacer("PASSWORD", "pass%3Aword-canary", "PORT", fmt.Sprint(p.port())).Replace(address), "hub@example.org")
	if err != nil {
		t.Fatal(err)
	}
	k := newDesk(t, dbtest.SQLite(t)(t), roots, m)
	k.save(store.WebhookPut{Channel: store.ChannelEmail, Recipients: to, Lang: "zh"})
	return k
}

// Mail goes over TLS with its password, and in clear to this machine alone; each gets a mail with the same id.
func TestMail(t *testing.T) {
	for name, x := range map[string]struct {
		office  *postOffice
		address string
		auth    string
	}{
		"starttls":           {&postOffice{startTLS: true}, "smtp://hub:PASSWORD@0.0.0.0:PORT", "true AUTH PLAIN"},
		"implicit":           {&postOffice{implicit: true}, "smtps://hub:PASSWORD@0.0.0.0:PORT", "true AUTH PLAIN"},
		"here":               {&postOffice{}, "smtp://hub:PASSWORD@127.0.0.1:PORT", "false AUTH PLAIN"},
		"here with starttls": {&postOffice{startTLS: true}, "smtp://hub:PASSWORD@127.0.0.1:PORT", "true AUTH PLAIN"},
		"nobody":             {&postOffice{startTLS: true}, "smtp://0.0.0.0:PORT", ""},
	} {
		t.Run(name, func(t *testing.T) {
			p := x.office
			k := mailDesk(t, p, x.address, "a@example.org", "b@example.org")
			k.happen(event.Event{Type: event.ArtifactPushed, Subject: "team/app@sha256:1", Data: event.Artifact{Tags: []string{"v1"}}})
			k.deliver()
			if d := k.deliveries()[0]; d.State != store.DeliveryDelivered || d.Answer != "" {
				t.Fatalf("%+v", d)
			}
			if x.auth == "" && p.heard("true AUTH") || !p.heard(x.auth) || len(p.mails) != 2 {
				t.Errorf("%q", p.said)
			}
			ids := map[string]bool{}
			for i, to := range []string{"a@example.org", "b@example.org"} {
				m, subject, body := read(t, p.mails[i])
				ids[m.Header.Get("Message-Id")] = true
				if m.Header.Get("To") != "<"+to+">" || m.Header.Get("From") != "<hub@example.org>" || m.Header.Get("Auto-Submitted") != "auto-generated" ||
					!strings.Contains(p.mails[i].to, to) || subject != "Hallmark: 已推送 team/app@sha256:1 (v1)" ||
					!strings.Contains(body, "Z 已推送 team/app@sha256:1 (v1)") || !strings.Contains(body, "https://hub.test") {
					t.Errorf("%q %q %v", subject, body, m.Header)
				}
			}
			if len(ids) != 1 || ids[""] {
				t.Errorf("%v", ids)
			}
		})
	}
}

func read(t *testing.T, l letter) (m *mail.Message, subject, body string) {
	t.Helper()
	m, err := mail.ReadMessage(bufio.NewReader(strings.NewReader(l.text)))
	if err != nil {
		t.Fatal(err)
	}
	if subject, err = new(mime.WordDecoder).DecodeHeader(m.Header.Get("Subject")); err != nil {
		t.Fatal(err)
	}
	all, err := io.ReadAll(quotedprintable.NewReader(m.Body))
	if err != nil {
		t.Fatal(err)
	}
	return m, subject, string(all)
}

// Nothing is said to a server without TLS that is not this machine, nor to one that nobody vouches for.
func TestMailNeedsTLS(t *testing.T) {
	t.Run("none offered", func(t *testing.T) {
		p := &postOffice{}
		k := mailDesk(t, p, "smtp://hub:PASSWORD@0.0.0.0:PORT", "a@example.org")
		tested, err := k.sender.Test(k.ctx, k.project, "told")
		if err != nil || tested.OK || !strings.Contains(tested.Message, "STARTTLS") || p.heard("false AUTH") || p.heard("false MAIL") {
			t.Errorf("%+v %v %q", tested, err, p.said)
		}
	})
	t.Run("not vouched for", func(t *testing.T) {
		p := &postOffice{startTLS: true}
		k := mailDesk(t, p, "smtp://hub:PASSWORD@0.0.0.0:PORT", "a@example.org")
		m, err := webhook.ParseMail(fmt.Sprintf("smtp://hub:x@0.0.0.0:%d", p.port()), "hub@example.org")
		k.must(err)
		other := newDesk(t, dbtest.SQLite(t)(t), x509.NewCertPool(), m)
		other.save(store.WebhookPut{Channel: store.ChannelEmail, Recipients: []string{"a@example.org"}})
		tested, err := other.sender.Test(other.ctx, other.project, "told")
		if err != nil || tested.OK || !strings.Contains(tested.Message, "certificate") || p.heard("true ") || p.heard("false AUTH") {
			t.Errorf("%+v %v %q", tested, err, p.said)
		}
	})
}

// What a server refuses for a while is tried again, what it refuses for good ends with what it said, and one who is refused keeps the
// mail from nobody else. The password is never told.
func TestMailRefusals(t *testing.T) {
	const here = "smtp://hub:PASSWORD@127.0.0.1:PORT"
	for name, x := range map[string]struct {
		address string
		answers map[string]string
		state   store.DeliveryState
		told    string
		mails   int
	}{
		"recipient later":    {here, map[string]string{"RCPT TO:<a@": "450 4.2.0 busy"}, store.DeliveryWaiting, `450 "4.2.0 busy"`, 1},
		"one recipient":      {here, map[string]string{"RCPT TO:<a@": "550 5.1.1 nobody"}, store.DeliveryDelivered, `not to everybody: sending SMTP RCPT TO command: 550 "5.1.1 nobody", affected recipient(s): <a@example.org>`, 1},
		"all recipients":     {here, map[string]string{"RCPT": "550 5.1.1 nobody"}, store.DeliveryFailed, `550 "5.1.1 nobody"`, 0},
		"one later, one not": {here, map[string]string{"RCPT TO:<a@": "450 4.2.0 busy", "RCPT TO:<b@": "550 5.1.1 nobody"}, store.DeliveryWaiting, `450 "4.2.0 busy"`, 0},
		"sender":             {here, map[string]string{"MAIL": "553 5.7.1 not you"}, store.DeliveryFailed, `553 "5.7.1 not you"`, 0},
		"text later":         {here, map[string]string{"DATA": "451 4.3.0 disk full"}, store.DeliveryWaiting, `451 "4.3.0 disk full"`, 0},
		"text":               {here, map[string]string{"DATA": "554 5.6.0 no"}, store.DeliveryFailed, `554 "5.6.0 no"`, 0},
		"after it was taken": {here, map[string]string{"RSET": "421 4.0.0 bye"}, store.DeliveryDelivered, "", 2},
		"login":              {"smtp://hub:PASSWORDx@127.0.0.1:PORT", nil, store.DeliveryFailed, `535 "5.7.8 no such user`, 0},
		"login, as it was":   {here, map[string]string{"AUTH": "535 5.7.8 " + base64.StdEncoding.EncodeToString([]byte("\x00hub\x00"+mailPassword)) + " " + mailPassword}, store.DeliveryFailed, `535 "5.7.8 *** ***"`, 0},
		"login later":        {here, map[string]string{"AUTH": "454 4.7.0 later"}, store.DeliveryWaiting, `454 "4.7.0 later"`, 0},
	} {
		t.Run(name, func(t *testing.T) {
			p := &postOffice{answers: x.answers}
			k := mailDesk(t, p, x.address, "a@example.org", "b@example.org")
			k.happen(event.Event{Type: event.ProjectCreated, Subject: "team"})
			k.deliver()
			d := k.deliveries()[0]
			if d.State != x.state || !strings.Contains(d.Error+d.Answer, x.told) || (d.Error == "") != (x.state == store.DeliveryDelivered) || len(p.mails) != x.mails {
				t.Errorf("%d mails, %s: %q %q", len(p.mails), d.State, d.Error, d.Answer)
			}
			for _, secret := range []string{"canary", base64.StdEncoding.EncodeToString([]byte("\x00hub\x00" + mailPassword)), base64.StdEncoding.EncodeToString([]byte(mailPassword))} {
				if strings.Contains(d.Error+d.Answer, secret) {
					t.Errorf("%q", d.Error)
				}
			}
			if again := len(k.jobs) == 2; again != (x.state == store.DeliveryWaiting) {
				t.Errorf("%d jobs", len(k.jobs))
			}
		})
	}
	t.Run("nobody there", func(t *testing.T) {
		p := &postOffice{}
		k := mailDesk(t, p, here, "a@example.org")
		p.listener.Close()
		k.happen(event.Event{Type: event.ProjectCreated, Subject: "team"})
		k.deliver()
		if d := k.deliveries()[0]; d.State != store.DeliveryWaiting || !strings.Contains(d.Error, "refused") || strings.Contains(d.Error, "canary") {
			t.Errorf("%+v", d)
		}
	})
}

// Nothing that others have named becomes a header or a line of its own, and a mail of many events has a line for each.
func TestMailHostileNames(t *testing.T) {
	const evil = "x\r\nBcc: spy@evil.test\r\n\r\n.\r\nRCPT TO:<spy@evil.test>\u2028\x00\u202e"
	p := &postOffice{}
	k := mailDesk(t, p, "smtp://hub:PASSWORD@127.0.0.1:PORT", "a@example.org")
	k.happen(event.Event{Type: event.JobDead, Subject: evil, Data: map[string]string{"error": evil}})
	k.deliver()
	m, subject, body := read(t, p.mails[0])
	if m.Header.Get("Bcc") != "" || p.heard("false RCPT TO:<spy") || !strings.Contains(subject, "Bcc: spy@evil.test") || strings.ContainsAny(subject, "\r\n\x00\u2028\u202e") ||
		strings.Count(strings.TrimSpace(body), "\n") != 2 {
		t.Errorf("%v %q %q %q", m.Header, subject, body, p.said)
	}
	var all []event.Event
	for range 20 {
		all = append(all, event.Event{Type: event.JobDead, Subject: evil, Data: map[string]string{"error": strings.Repeat("漏洞", 2000)}})
	}
	k.happen(all...)
	k.deliver()
	if len(p.mails) != 2 {
		t.Fatal(len(p.mails))
	}
	if _, subject, body = read(t, p.mails[1]); subject != "Hallmark：20 个事件" || strings.Count(strings.TrimSpace(body), "\n") != 21 {
		t.Errorf("%q %d", subject, strings.Count(body, "\n"))
	}
}

// A setting that is none is told as such, and never with its password; without one there is no mail.
func TestParseMail(t *testing.T) {
	for _, address := range []string{"post.test", "http://post.test", "smtp://", "smtp://u:canary@post.test/path", "smtp://u:canary@post.test?x", "smtp://u:canary@post.test#x",
		"smtp://u:canary@post.test:0", "smtp://u:canary@post.test:65536", "smtp://u:can%zzary@post.test", "smtp://u:canary@post.test:port"} {
		if m, err := webhook.ParseMail(address, "hub@example.org"); err == nil || m != nil || strings.Contains(err.Error(), "can") {
			t.Errorf("%s: %v %v", address, m, err)
		}
	}
	for _, from := range []string{"", "hub", "Hub <hub@example.org>", "hub@example.org\r\nBcc: spy@evil.test", "a@example.org, b@example.org"} {
		if m, err := webhook.ParseMail("smtp://post.test", from); err == nil || m != nil || !strings.Contains(err.Error(), "HALLMARK_SMTP_FROM") {
			t.Errorf("%q: %v %v", from, m, err)
		}
	}
	m, err := webhook.ParseMail("smtps://u:canary@post.test:65535", "hub@example.org")
	if text := fmt.Sprintf("%v %+v %#v %s", m, m, m, m); err != nil || strings.Contains(text, "canary") || !strings.Contains(text, "post.test") {
		t.Errorf("%s %v", text, err)
	}
	if m, err := webhook.ParseMail("", ""); m != nil || err != nil {
		t.Errorf("%v %v", m, err)
	}
	k := newDesk(t, dbtest.SQLite(t)(t), nil, nil)
	if _, _, err := k.sender.Save(k.ctx, k.project, "told", store.WebhookPut{Channel: store.ChannelEmail, Recipients: []string{"a@example.org"}, Events: []string{"*"}}, 0); err == nil ||
		!strings.Contains(err.Error(), "HALLMARK_SMTP") {
		t.Error(err)
	}
}
