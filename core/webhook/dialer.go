package webhook

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"
)

// errRefused says that an address is none that the hub sends to. It is found before anything is sent, so that nobody learns
// what answers there.
var errRefused = errors.New("the address is not a public one; the operator of the hub can allow its network with HALLMARK_WEBHOOK_ALLOW")

// errPlain says that an address is none to which the hub sends what everybody on the way can read.
var errPlain = errors.New("without TLS the hub sends only into networks that its operator allows with HALLMARK_WEBHOOK_ALLOW: use https")

// guardedDialer connects to what the operator allows, and to public addresses if public. It is the address that is dialled which
// is looked at, so that a name that means another one a moment later is of no use (V-08).
func guardedDialer(resolver *net.Resolver, allow []netip.Prefix, public bool) func(ctx context.Context, network, address string) (net.Conn, error) {
	refused := errRefused
	if !public {
		refused = errPlain
	}
	d := &net.Dialer{Timeout: dialPatience, Resolver: resolver, Control: func(_, resolved string, _ syscall.RawConn) error {
		at, err := netip.ParseAddrPort(resolved)
		if err != nil {
			return err
		}
		if !reachable(at.Addr(), allow, public) {
			return refused
		}
		return nil
	}}
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := d.DialContext(ctx, network, address)
		if errors.Is(err, refused) {
			return nil, refused // without the address that a name stands for
		}
		return conn, err
	}
}

// reachable reports whether the hub sends to an address: public says that it need not be allowed if it is a public one.
func reachable(ip netip.Addr, allow []netip.Prefix, public bool) bool {
	ip = ip.Unmap().WithZone("")
	if within(ip, metadata()) || within(translated(ip), metadata()) {
		return false // whoever is allowed a network is not allowed what gives out credentials of the machine
	}
	return within(ip, allow) || public && ip.IsGlobalUnicast() && !ip.IsPrivate() && !within(ip, special())
}

// translated is the IPv4 address that a gateway (NAT64) makes of one, or the address itself.
func translated(ip netip.Addr) netip.Addr {
	if !netip.MustParsePrefix("64:ff9b::/96").Contains(ip) {
		return ip
	}
	b := ip.As16()
	return netip.AddrFrom4([4]byte(b[12:]))
}

func within(ip netip.Addr, networks []netip.Prefix) bool {
	for _, n := range networks {
		if n.Contains(ip) {
			return true
		}
	}
	return false
}

// metadata are the addresses at which clouds tell a machine its credentials.
func metadata() []netip.Prefix {
	return prefixes("169.254.0.0/16", "fe80::/10", "fd00:ec2::254/128", "fd20:ce::254/128", "100.100.100.200/32", "168.63.129.16/32", "192.0.0.192/32")
}

// special are networks that look public and are not, or that carry an address of another kind in them.
func special() []netip.Prefix {
	return prefixes("0.0.0.0/8", "100.64.0.0/10", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "198.18.0.0/15", "198.51.100.0/24",
		"203.0.113.0/24", "240.0.0.0/4", "::/96", "64:ff9b::/96", "64:ff9b:1::/48", "100::/64", "2001::/23", "2001:db8::/32", "2002::/16", "fec0::/10", "3fff::/20", "5f00::/16")
}

func prefixes(list ...string) []netip.Prefix {
	out := make([]netip.Prefix, len(list))
	for i, p := range list {
		out[i] = netip.MustParsePrefix(p)
	}
	return out
}

// ParseAllow reads networks as a setting names them.
func ParseAllow(list []string) ([]netip.Prefix, error) {
	var out []netip.Prefix
	for _, text := range list {
		p, err := netip.ParsePrefix(text)
		if err != nil {
			return nil, fmt.Errorf("%q is no network: write it as 10.0.0.0/8 or fd00::/8", text)
		}
		out = append(out, p.Masked())
	}
	return out, nil
}
