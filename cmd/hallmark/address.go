package main

import (
	"net"
	"net/url"
)

// base is the address of the hub as clients see it, as far as that is known: public_url, else where it listens. "" if that
// is every address of the machine.
func (o *opened) base() string {
	if u := o.publicURL(); u != "" {
		return u
	}
	address := o.listens()
	host, _, err := net.SplitHostPort(address)
	if ip := net.ParseIP(host); err != nil || host == "" || ip != nil && ip.IsUnspecified() {
		return ""
	}
	if o.cfg.String("tls_cert") != "" {
		return "https://" + address
	}
	return "http://" + address
}

// publicURL is where the operator says that clients find the hub, without a path; "" if he does not.
func (o *opened) publicURL() string {
	if u, err := url.Parse(o.cfg.String("public_url")); err == nil && u.Host != "" {
		return u.Scheme + "://" + u.Host
	}
	return ""
}

// host is how clients name the hub, for commands that they are told.
func (o *opened) host() string {
	if u, err := url.Parse(o.cfg.String("public_url")); err == nil && u.Host != "" {
		return u.Host
	}
	return o.listens()
}

func (o *opened) listens() string {
	if o.address != "" {
		return o.address
	}
	return o.cfg.String("listen")
}

// verdictLink makes the address of the page that a refusal leads to; nil where nobody could follow it.
func (o *opened) verdictLink() func(repository, digest string) string {
	base := o.base()
	if base == "" {
		return nil
	}
	return func(repository, digest string) string { return base + "/t/" + repository + "@" + digest }
}
