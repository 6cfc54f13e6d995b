package web_test

import (
	"io"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/hallmarkhub/hallmark/core/web"
)

// from is a listener whose connections seem to come from addresses of a test's choice.
type from struct {
	conns chan net.Conn
}

func (f *from) Accept() (net.Conn, error) {
	c, ok := <-f.conns
	if !ok {
		return nil, net.ErrClosed
	}
	return c, nil
}
func (f *from) Close() error   { close(f.conns); return nil }
func (f *from) Addr() net.Addr { return &net.TCPAddr{} }

type claimed struct {
	net.Conn
	addr   string
	closed chan struct{}
	once   sync.Once
}

func (c *claimed) RemoteAddr() net.Addr {
	return net.TCPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(c.addr), 999))
}
func (c *claimed) Close() error { c.once.Do(func() { close(c.closed) }); return nil }

// dial offers one connection and says whether the listener took it.
func dial(f *from, taken chan net.Conn, addr string) (net.Conn, bool) {
	c := &claimed{addr: addr, closed: make(chan struct{})}
	f.conns <- c
	select {
	case conn := <-taken:
		return conn, true
	case <-c.closed:
		return nil, false
	}
}

func TestConnectionLimits(t *testing.T) {
	f := &from{conns: make(chan net.Conn)}
	var refused atomic.Int64
	trusted := netip.MustParsePrefix("10.0.0.0/8")
	l := web.Connections{Total: 7, PerIP: 2, Trusted: trusted.Contains, Refused: func() { refused.Add(1) }}.Limit(f)
	taken := make(chan net.Conn)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			taken <- c
		}
	}()
	defer l.Close()
	must := func(addr string, want bool) net.Conn {
		t.Helper()
		c, ok := dial(f, taken, addr)
		if ok != want {
			t.Fatalf("a connection from %s: taken %v, want %v", addr, ok, want)
		}
		return c
	}
	first := must("192.0.2.1", true)
	must("192.0.2.1", true)
	must("192.0.2.1", false) // one past the limit
	must("::ffff:192.0.2.1", false)
	first.Close()
	first.Close() // once more must not count twice
	must("192.0.2.1", true)
	must("192.0.2.1", false)
	must("2001:db8::1", true)
	must("2001:db8::2", true)
	must("2001:db8::3", false) // the same /64
	must("10.1.1.1", true)     // trusted: no limit of their own
	must("10.1.1.1", true)
	must("10.1.1.1", true) // the seventh
	must("10.1.1.1", false)
	must("127.0.0.1", false)
	if refused.Load() != 6 {
		t.Errorf("%d refusals were told", refused.Load())
	}
}

// sendfile needs ReadFrom of the connection.
func TestTCPConnectionsKeepReadFrom(t *testing.T) {
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := web.DefaultConnections().Limit(tcp)
	defer l.Close()
	go func() {
		if c, err := net.Dial("tcp", tcp.Addr().String()); err == nil {
			defer c.Close()
			io.Copy(io.Discard, c)
		}
	}()
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, ok := c.(io.ReaderFrom); !ok {
		t.Fatalf("%T has no ReadFrom", c)
	}
}
