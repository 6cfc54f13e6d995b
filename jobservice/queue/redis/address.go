package redis

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	// answerTime bounds every request but a Pop that waits.
	answerTime = time.Second
	// dialTime bounds a new connection.
	dialTime = 2 * time.Second
)

// CheckAddress reports what keeps Open from understanding an address. It reads no file and asks no server. What it says
// holds no part of the address, so that no password gets into a log.
func CheckAddress(address string) error {
	_, _, err := parse(address)
	return err
}

// parse reads redis://[user:password@]host[:port][/db] or rediss://.. and its parameters: addr=host:port (another node,
// several times), cluster=true, master_name=NAME with sentinel_username and sentinel_password, and ca=FILE.
func parse(address string) (o *redis.UniversalOptions, ca string, err error) {
	u, err := url.Parse(address)
	switch {
	case err != nil:
		return nil, "", errors.New("it is not a URL; characters such as / and # in a password are written as %2F and %23")
	case u.Scheme != "redis" && u.Scheme != "rediss":
		return nil, "", errors.New("it begins with neither redis: nor rediss:")
	case u.Hostname() == "" || u.Fragment != "":
		return nil, "", errors.New("it is not of the form redis://user:password@host:6379/0")
	}
	o = &redis.UniversalOptions{
		// A connection says who it is to nobody: the replies to that were once taken for those of other requests
		// (CVE-2025-29923). Version 2 of the protocol has no messages besides the replies.
		DisableIdentity: true, Protocol: 2, ContextTimeoutEnabled: true, MaxRetries: -1,
		DialTimeout: dialTime, DialerRetries: 1, ReadTimeout: answerTime, WriteTimeout: answerTime, PoolTimeout: answerTime,
		PoolSize: 8, PipelinePoolSize: -1,
	}
	o.Username = u.User.Username()
	o.Password, _ = u.User.Password()
	if u.Scheme == "rediss" {
		o.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	if o.Addrs, err = node(nil, u.Host); err != nil {
		return nil, "", err
	}
	if db := strings.Trim(u.Path, "/"); db != "" {
		if o.DB, err = strconv.Atoi(db); err != nil || o.DB < 0 {
			return nil, "", errors.New("what stands behind the host is not the number of a database, such as /0")
		}
	}
	if ca, err = parameters(o, u.Query()); err != nil {
		return nil, "", err
	}
	switch {
	case o.MasterName == "" && (o.SentinelUsername != "" || o.SentinelPassword != ""):
		return nil, "", errors.New("sentinel_username and sentinel_password need master_name, the name that the sentinels watch")
	case o.MasterName != "" && o.IsClusterMode:
		return nil, "", errors.New("it is either a cluster (cluster=true) or watched by sentinels (master_name), not both")
	case ca != "" && o.TLSConfig == nil:
		return nil, "", errors.New("ca needs rediss://")
	}
	o.IsClusterMode = o.IsClusterMode || o.MasterName == "" && len(o.Addrs) > 1
	if o.IsClusterMode && o.DB != 0 {
		return nil, "", errors.New("a cluster has only database 0")
	}
	return o, ca, nil
}

// parameters reads what stands behind the question mark. A name that is unknown or there twice is an error.
func parameters(o *redis.UniversalOptions, q url.Values) (ca string, err error) {
	texts := map[string]*string{"master_name": &o.MasterName, "sentinel_username": &o.SentinelUsername,
		"sentinel_password": &o.SentinelPassword, "ca": &ca}
	for name, values := range q {
		text, ok := texts[name]
		switch {
		case name == "addr":
			for _, v := range values {
				if o.Addrs, err = node(o.Addrs, v); err != nil {
					return "", err
				}
			}
		case name == "cluster" && slices.Equal(values, []string{"true"}):
			o.IsClusterMode = true
		case ok && len(values) == 1 && values[0] != "":
			*text = values[0]
		default:
			return "", fmt.Errorf("the parameter %q is not one of addr, cluster=true, master_name, sentinel_username, sentinel_password and ca, or not once", name)
		}
	}
	return ca, nil
}

// node adds host:port to nodes; the port of Redis may be left out.
func node(nodes []string, hostPort string) ([]string, error) {
	u := url.URL{Host: hostPort}
	host, port := u.Hostname(), u.Port()
	if port == "" {
		port = "6379"
	}
	if n, err := strconv.ParseUint(port, 10, 16); host == "" || strings.ContainsAny(host, "@/") || err != nil || n == 0 {
		return nil, errors.New("a node is not of the form host:6379")
	}
	return append(nodes, net.JoinHostPort(host, port)), nil
}

// trust makes the certificates of a file the only ones that are believed.
func trust(o *redis.UniversalOptions, ca string) error {
	if ca == "" {
		return nil
	}
	pem, err := os.ReadFile(ca)
	if err != nil {
		return fmt.Errorf("the file of ca cannot be read: %w", err)
	}
	o.TLSConfig.RootCAs = x509.NewCertPool()
	if !o.TLSConfig.RootCAs.AppendCertsFromPEM(pem) {
		return fmt.Errorf("the file %s of ca holds no certificate in PEM", ca)
	}
	return nil
}
