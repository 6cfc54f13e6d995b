package web

import (
	"net"
	"net/netip"
	"sync"
)

// Connections bounds how many connections a listener holds.
type Connections struct {
	Total int // 0: no bound
	PerIP int // 0: no bound; never applies to loopback
	// Trusted are the addresses that PerIP does not apply to either: proxies. May be nil.
	Trusted func(netip.Addr) bool
	// Refused is called for every connection that was closed at once, before that; may be nil.
	Refused func()
}

// DefaultConnections is what a hub takes that sets nothing else.
func DefaultConnections() Connections { return Connections{Total: 8192, PerIP: 1024} }

// Limit wraps a listener. Connections stay what sendfile needs: ReadFrom of the TCP connection is theirs too.
func (c Connections) Limit(l net.Listener) net.Listener {
	return &listener{Listener: l, limits: c, perIP: map[netip.Prefix]int{}}
}

type listener struct {
	net.Listener
	limits Connections

	mu    sync.Mutex
	total int
	perIP map[netip.Prefix]int
}

func (l *listener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		source, counted := l.source(c.RemoteAddr())
		if l.take(source, counted) {
			release := sync.OnceFunc(func() { l.release(source, counted) })
			if tcp, ok := c.(*net.TCPConn); ok {
				return &tcpConn{TCPConn: tcp, release: release}, nil
			}
			return &otherConn{Conn: c, release: release}, nil
		}
		if l.limits.Refused != nil {
			l.limits.Refused()
		}
		c.Close()
	}
}

// source is what connections are counted by: an IPv4 address or the /64 of an IPv6 address, which is one customer.
func (l *listener) source(a net.Addr) (netip.Prefix, bool) {
	ap, err := netip.ParseAddrPort(a.String())
	if err != nil || l.limits.PerIP == 0 {
		return netip.Prefix{}, false
	}
	ip := ap.Addr().Unmap().WithZone("")
	if ip.IsLoopback() || l.limits.Trusted != nil && l.limits.Trusted(ip) {
		return netip.Prefix{}, false
	}
	bits := 32
	if ip.Is6() {
		bits = 64
	}
	p, err := ip.Prefix(bits)
	return p, err == nil
}

func (l *listener) take(source netip.Prefix, counted bool) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.limits.Total > 0 && l.total >= l.limits.Total || counted && l.perIP[source] >= l.limits.PerIP {
		return false
	}
	l.total++
	if counted {
		l.perIP[source]++
	}
	return true
}

func (l *listener) release(source netip.Prefix, counted bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.total--
	if !counted {
		return
	}
	if l.perIP[source]--; l.perIP[source] == 0 {
		delete(l.perIP, source)
	}
}

// tcpConn embeds the TCP connection itself, so that ReadFrom and with it sendfile stay reachable.
type tcpConn struct {
	*net.TCPConn
	release func()
}

func (c *tcpConn) Close() error {
	defer c.release()
	return c.TCPConn.Close()
}

type otherConn struct {
	net.Conn
	release func()
}

func (c *otherConn) Close() error {
	defer c.release()
	return c.Conn.Close()
}
