package upstream

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"syscall"
	"time"
)

// Deadlines of one registry behind.
const (
	dialPatience   = 5 * time.Second
	answerPatience = 5 * time.Minute // the end of a large upload takes its time; what is short has patience as well
)

// transport goes to a registry straight, and elsewhere only where a registry may send its readers: an administrator chose
// base, but whoever works there chooses the rest.
func transport(base *url.URL, caPEM string) (*http.Transport, error) {
	t := &http.Transport{
		DialContext:            dialer(hostPort(base)),
		TLSHandshakeTimeout:    dialPatience,
		ResponseHeaderTimeout:  answerPatience,
		ExpectContinueTimeout:  time.Second,
		MaxResponseHeaderBytes: 64 << 10,
		MaxIdleConnsPerHost:    16,
		IdleConnTimeout:        90 * time.Second,
		DisableCompression:     true,
		ForceAttemptHTTP2:      true,
	}
	if caPEM == "" {
		return t, nil
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	if !pool.AppendCertsFromPEM([]byte(caPEM)) {
		return nil, errors.New("there is no certificate in the CA of this registry")
	}
	t.TLSClientConfig = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	return t, nil
}

func hostPort(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	return net.JoinHostPort(u.Hostname(), port)
}

// dialer lets a redirect lead to no service of this machine and to none of the network that asks nobody who he is, such
// as a cloud's metadata. Other private addresses are left: object stores have them.
func dialer(base string) func(ctx context.Context, network, address string) (net.Conn, error) {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		d := net.Dialer{Timeout: dialPatience, Control: func(_, resolved string, _ syscall.RawConn) error {
			at, err := netip.ParseAddrPort(resolved)
			if err != nil {
				return err
			}
			ip := at.Addr().Unmap()
			if ip.IsLinkLocalUnicast() || ip.IsMulticast() || ip.IsUnspecified() || ip.IsLoopback() && address != base {
				return fmt.Errorf("%s is no address that a registry may lead to", ip)
			}
			return nil
		}}
		return d.DialContext(ctx, network, address)
	}
}
