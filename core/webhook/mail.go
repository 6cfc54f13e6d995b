package webhook

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	netmail "net/mail"
	"net/netip"
	"net/url"
	"strconv"
	"strings"

	"github.com/wneessen/go-mail"

	"github.com/hallmarkhub/hallmark/core/store"
)

// Mail is the mail server that the operator named. It prints without its password.
type Mail struct {
	host, user, password string
	port                 int
	implicit             bool // TLS from the first byte
	local                bool // on this machine, where nobody is on the way
	from                 string
}

// String keeps the password out of whatever it is printed into.
func (m *Mail) String() string { return "mail server " + m.host }

// GoString is String, for %#v.
func (m *Mail) GoString() string { return m.String() }

// ParseMail reads the settings: smtp://user:password@host:port or smtps://.., and whom mail is from. An empty address is no server.
func ParseMail(address, from string) (*Mail, error) {
	if address == "" {
		return nil, nil
	}
	// No error of url.Parse is shown: it has the address in it, and so the password.
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "smtp" && u.Scheme != "smtps" || u.Hostname() == "" || u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.Fragment != "" {
		return nil, errors.New("a mail server is named as smtp://user:password@mail.example.org:587 or smtps://user:password@mail.example.org:465, with what is special in a password written as %40")
	}
	m := &Mail{host: u.Hostname(), implicit: u.Scheme == "smtps", port: 587, local: u.Hostname() == "localhost", from: from}
	if ip, err := netip.ParseAddr(m.host); err == nil {
		m.local = ip.IsLoopback()
	}
	if m.implicit {
		m.port = 465
	}
	if u.Port() != "" {
		if m.port, err = strconv.Atoi(u.Port()); err != nil || m.port < 1 || m.port > 65535 {
			return nil, fmt.Errorf("the mail server's port %q is none", u.Port())
		}
	}
	if u.User != nil {
		m.user = u.User.Username()
		m.password, _ = u.User.Password()
	}
	if a, err := netmail.ParseAddress(from); err != nil || a.Address != from {
		return nil, errors.New("with a mail server HALLMARK_SMTP_FROM has to be set, to the address that mail is from: hallmark@example.org")
	}
	return m, nil
}

// maxMail is how many bytes the text of a mail has at most.
const maxMail = 64 << 10

// sendMail sends one mail of events. Everybody is named in its head: who is told of the same things may know of each other.
func (s *Sender) sendMail(ctx context.Context, w *store.Webhook, events []*store.Event) result {
	if s.opt.Mail == nil {
		return result{problem: "this hub has no mail server: its operator names one with HALLMARK_SMTP", final: true}
	}
	msg := mail.NewMsg()
	if err := msg.From(s.opt.Mail.from); err != nil {
		return result{problem: err.Error(), final: true}
	}
	if err := msg.To(w.Recipients...); err != nil {
		return result{problem: err.Error(), final: true}
	}
	// On one line, so that nothing in it becomes a header: line() has no control characters.
	msg.Subject(cut(title(w, events), 200))
	msg.SetDate()
	msg.SetMessageIDWithValue(events[0].ID + "." + w.ID + "@" + domainOf(s.opt.Mail.from))
	msg.SetGenHeader("Auto-Submitted", "auto-generated")
	msg.SetBodyString(mail.TypeTextPlain, mailText(w, events)+"\n"+s.opt.Source+"\n")
	if err := s.opt.Mail.send(ctx, msg, s.tlsConfig(s.opt.Mail.host)); err != nil {
		var refused *mail.SendError
		return result{problem: shown(err.Error(), store.WebhookAddress{Secret: s.opt.Mail.password}, shownAnswer),
			final: errors.As(err, &refused) && refused.ErrorCode() >= 500}
	}
	return result{}
}

func (s *Sender) tlsConfig(host string) *tls.Config {
	return &tls.Config{ServerName: host, RootCAs: s.opt.RootCAs, MinVersion: tls.VersionTLS12}
}

func domainOf(address string) string { return address[strings.LastIndexByte(address, '@')+1:] }

// mailText has a line for each event.
func mailText(w *store.Webhook, events []*store.Event) string {
	var b strings.Builder
	for _, e := range events {
		next := e.CreatedAt.UTC().Format("2006-01-02 15:04:05Z ") + line(e, w.Lang) + "\n"
		if b.Len()+len(next) > maxMail {
			break
		}
		b.WriteString(next)
	}
	return b.String()
}

// send hands a mail over. A password, and what happens in a project, goes over no network in clear.
func (m *Mail) send(ctx context.Context, msg *mail.Msg, secure *tls.Config) error {
	opts := []mail.Option{mail.WithPort(m.port), mail.WithTimeout(patience), mail.WithTLSConfig(secure), mail.WithTLSPolicy(mail.TLSMandatory)}
	switch {
	case m.implicit:
		opts = append(opts, mail.WithSSL())
	case m.local:
		opts = append(opts, mail.WithTLSPolicy(mail.TLSOpportunistic))
	}
	if m.user != "" {
		auth := mail.SMTPAuthAutoDiscover
		if m.local {
			auth = mail.SMTPAuthPlainNoEnc
		}
		opts = append(opts, mail.WithSMTPAuth(auth), mail.WithUsername(m.user), mail.WithPassword(m.password))
	}
	client, err := mail.NewClient(m.host, opts...)
	if err != nil {
		return err
	}
	return client.DialAndSendWithContext(ctx, msg)
}
