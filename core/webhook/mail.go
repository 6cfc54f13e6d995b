package webhook

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	netmail "net/mail"
	"net/netip"
	"net/textproto"
	"net/url"
	"strconv"
	"strings"
	"time"

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

const (
	maxMail      = 64 << 10 // bytes that the text of a mail has at most
	mailPatience = 20 * time.Second
)

// sendMail sends a mail of events to each recipient by itself: one who is refused keeps it from nobody else, and nobody learns who
// else is told. As long as anybody may take it later, it is tried again for all: a second one has the id of the first.
func (s *Sender) sendMail(ctx context.Context, w *store.Webhook, events []*store.Event) result {
	m := s.opt.Mail
	if m == nil {
		return result{problem: "this hub has no mail server: its operator names one with HALLMARK_SMTP", final: true}
	}
	all := make([]*mail.Msg, len(w.Recipients))
	for i, to := range w.Recipients {
		msg, err := m.message(to, w, events, s.opt.Source)
		if err != nil {
			return result{problem: err.Error(), final: true}
		}
		all[i] = msg
	}
	if err := m.send(ctx, all, &tls.Config{ServerName: m.host, RootCAs: s.opt.RootCAs, MinVersion: tls.VersionTLS12}); err != nil {
		return result{problem: m.hide(err.Error()), final: forGood(err)}
	}
	return m.outcome(all)
}

// message is the mail of events to one address.
func (m *Mail) message(to string, w *store.Webhook, events []*store.Event, source string) (*mail.Msg, error) {
	msg := mail.NewMsg(mail.WithNoDefaultUserAgent())
	if err := msg.From(m.from); err != nil {
		return nil, err
	}
	if err := msg.To(to); err != nil {
		return nil, err
	}
	// On one line, so that nothing in it becomes a header: line() has no control characters.
	msg.Subject(cut(title(w, events), 200))
	msg.SetDate()
	msg.SetMessageIDWithValue(events[0].ID + "." + w.ID + "@" + m.from[strings.LastIndexByte(m.from, '@')+1:])
	msg.SetGenHeader("Auto-Submitted", "auto-generated")
	msg.SetBodyString(mail.TypeTextPlain, mailText(w, events)+"\n"+source+"\n")
	return msg, nil
}

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

// outcome is what became of mails that a server was asked to take.
func (m *Mail) outcome(all []*mail.Msg) result {
	taken, final := 0, true
	var refused []string
	for _, msg := range all {
		if msg.IsDelivered() { // whatever became of the conversation after
			taken++
			continue
		}
		err := msg.SendError()
		why, _, _ := strings.Cut(err.Error(), ", affected message ID")
		refused = append(refused, why)
		final = final && forGood(err)
	}
	switch why := m.hide(strings.Join(refused, "; ")); {
	case len(refused) == 0:
		return result{}
	case final && taken > 0:
		return result{answer: "not to everybody: " + why}
	default:
		return result{problem: why, final: final}
	}
}

// forGood reports whether a server said with a code of 500 and more that trying again does not mend it.
func forGood(err error) bool {
	var refused *mail.SendError
	if errors.As(err, &refused) {
		return refused.ErrorCode() >= 500
	}
	var answer *textproto.Error
	return errors.As(err, &answer) && answer.Code >= 500
}

// hide takes the password out of what a server says, as it is and as it was sent.
func (m *Mail) hide(text string) string {
	if m.password == "" {
		return text
	}
	encoded, quoted := base64.StdEncoding.EncodeToString, strconv.Quote(m.password)
	return strings.NewReplacer(encoded([]byte("\x00"+m.user+"\x00"+m.password)), "***", encoded([]byte(m.password)), "***",
		m.password, "***", quoted[1:len(quoted)-1], "***").Replace(text)
}

// send hands mails over; what became of each is in itself. A password, and what happens in a project, goes over no network in clear.
func (m *Mail) send(ctx context.Context, all []*mail.Msg, secure *tls.Config) error {
	var conn net.Conn // the library leaves it open when the conversation fails at its beginning
	dial := func(ctx context.Context, network, address string) (c net.Conn, err error) {
		if m.implicit {
			c, err = (&tls.Dialer{Config: secure}).DialContext(ctx, network, address)
		} else {
			c, err = (&net.Dialer{}).DialContext(ctx, network, address)
		}
		if err == nil {
			conn = c
		}
		return c, err
	}
	policy := mail.TLSMandatory
	if m.implicit || m.local { // there is TLS already, or nobody on the way
		policy = mail.TLSOpportunistic
	}
	opts := []mail.Option{mail.WithPort(m.port), mail.WithTimeout(mailPatience), mail.WithTLSConfig(secure), mail.WithTLSPolicy(policy), mail.WithDialContextFunc(dial)}
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
	conversation, err := client.DialToSMTPClientWithContext(ctx)
	if conn != nil {
		defer conn.Close()
	}
	if err != nil {
		return err
	}
	defer func() { _ = client.CloseWithSMTPClient(conversation) }() // what was taken is taken, however it says goodbye
	err = client.SendWithSMTPClient(conversation, all...)
	if all[0].IsDelivered() || all[0].SendError() != nil {
		return nil
	}
	return err // none was tried
}
