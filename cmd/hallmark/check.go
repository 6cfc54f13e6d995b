package main

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hallmarkhub/hallmark/core/api"
	"github.com/hallmarkhub/hallmark/core/auth"
	"github.com/hallmarkhub/hallmark/core/db"
	"github.com/hallmarkhub/hallmark/core/webhook"
	"github.com/hallmarkhub/hallmark/jobservice/queue/redis"
)

// check asks each setting about its value and names the one that is wrong, then looks at those that depend on each other.
// It touches nothing but the configuration.
func (c *Config) check() error {
	for _, s := range settings() {
		if s.check == nil {
			continue
		}
		v := c.values[s.key]
		if err := s.check(v.text); err != nil {
			shown := strconv.Quote(v.text)
			if s.secret {
				shown = "the value"
			}
			return usagef("%s (from %s): %s %w", s.key, v.source, shown, err)
		}
	}
	for _, check := range []func() error{c.checkAddresses, c.checkStores, c.checkRoles, c.checkScanner, c.checkWebhooks} {
		if err := check(); err != nil {
			return usageError{err}
		}
	}
	return nil
}

// checkAddresses looks at how clients reach the hub.
func (c *Config) checkAddresses() error {
	if (c.String("tls_cert") == "") != (c.String("tls_key") == "") {
		return errors.New("tls_cert and tls_key are set together or not at all")
	}
	if listen := c.String("listen"); listen == c.String("internal_listen") && !strings.HasSuffix(listen, ":0") {
		return errors.New("listen and internal_listen are the same address: set HALLMARK_INTERNAL_LISTEN to another one")
	}
	_, err := c.proxies()
	return err
}

// proxies is whom to believe X-Forwarded-* from.
func (c *Config) proxies() (*auth.Proxies, error) {
	return auth.NewProxies(c.String("trusted_proxies"), c.String("public_url"))
}

// checkWebhooks looks at how others are told what happens.
func (c *Config) checkWebhooks() error {
	if _, err := c.webhookNetworks(); err != nil {
		return fmt.Errorf("HALLMARK_WEBHOOK_ALLOW: %w", err)
	}
	if _, err := c.mail(); err != nil {
		return fmt.Errorf("HALLMARK_SMTP: %w", err)
	}
	return nil
}

// webhookNetworks are those that webhooks may reach though they are not public, and by http:// without TLS.
func (c *Config) webhookNetworks() ([]netip.Prefix, error) {
	return webhook.ParseAllow(strings.FieldsFunc(c.String("webhook_allow"), func(r rune) bool { return r == ',' || r == ' ' }))
}

// mail is the mail server; nil if there is none.
func (c *Config) mail() (*webhook.Mail, error) {
	return webhook.ParseMail(c.String("smtp"), c.String("smtp_from"))
}

// checkStores looks at where rows and bytes are kept.
func (c *Config) checkStores() error {
	if c.postgres() && c.String("master_key") == "" {
		return errors.New("with postgres HALLMARK_MASTER_KEY has to be set, the same for every process: make one with: head -c 32 /dev/urandom | base64")
	}
	if err := db.CheckAddress(c.database()); err != nil {
		return fmt.Errorf("%w. HALLMARK_DB says where it is", err)
	}
	if !c.memoryQueue() {
		if err := redis.CheckAddress(c.String("queue")); err != nil {
			return fmt.Errorf("HALLMARK_QUEUE is not an address such as redis://:password@host:6379/0 or memory: %w", err)
		}
	}
	blobs, err := url.Parse(c.blobStore())
	switch {
	case err != nil:
		return errors.New("HALLMARK_BLOBS is not an address such as file:///path or s3://bucket/prefix?region=eu-central-1")
	case blobs.Scheme == "file" && (blobs.Path == "" || blobs.Host != ""):
		return errors.New("HALLMARK_BLOBS is not of the form file:///path")
	}
	return nil
}

// roles is what a process can do.
func roles() []string { return []string{"core", "jobservice"} }

// hasRole reports whether this process has the role.
func (c *Config) hasRole(role string) bool {
	return slices.Contains(splitList(c.String("roles")), role)
}

// checkRoles refuses a part of a hub where there can be no other part.
func (c *Config) checkRoles() error {
	all, source := strings.Join(roles(), ","), c.values["roles"].source
	for _, r := range roles() {
		switch {
		case c.hasRole(r):
		case !c.postgres():
			return fmt.Errorf("roles (from %s): with SQLite there is one process, which has to do everything: set HALLMARK_ROLES to %s, or use Postgres", source, all)
		case c.memoryQueue():
			return fmt.Errorf("roles (from %s): with the queue memory: a process hears of its own jobs alone: set HALLMARK_QUEUE to redis://.., or HALLMARK_ROLES to %s", source, all)
		}
	}
	return nil
}

func areRoles(s string) error {
	list := splitList(s)
	for _, r := range list {
		if !slices.Contains(roles(), r) {
			list = nil
		}
	}
	if len(list) == 0 {
		return errors.New("is no list of " + strings.Join(roles(), " and "))
	}
	return nil
}

// splitList splits at commas, and forgets spaces.
func splitList(s string) []string {
	return strings.FieldsFunc(s, func(r rune) bool { return r == ',' || r == ' ' })
}

// isDirectory refuses an empty name, which would be the working directory: somebody's variable was not set.
func isDirectory(s string) error {
	if s == "" {
		return errors.New("names no directory: set HALLMARK_DATA, or leave it out for ./data")
	}
	return nil
}

// isAddress takes HOST:PORT and :PORT; env is the variable to tell of.
func isAddress(env string) func(string) error {
	return func(s string) error {
		_, port, err := net.SplitHostPort(s)
		if err == nil {
			_, err = strconv.ParseUint(port, 10, 16)
		}
		if err != nil {
			return errors.New("is no address such as 127.0.0.1:8080: set " + env + " to one")
		}
		return nil
	}
}

func isDuration(s string) error {
	d, err := time.ParseDuration(s)
	if err != nil || d <= 0 {
		return errors.New("is no duration such as 90s, 10m or 24h")
	}
	return nil
}

// isUploadIdle takes what is long beside the hour after which an upload at work is noted down again.
func isUploadIdle(s string) error {
	if d, err := time.ParseDuration(s); err != nil || d < 2*time.Hour {
		return errors.New("is no duration of 2h or more")
	}
	return nil
}

// isTokenLife takes what clients can use: they ask for a token anew when its life is over, and docker takes less than a minute
// for a minute. A long life gains nothing, because rights are asked for on each request.
func isTokenLife(s string) error {
	if d, err := time.ParseDuration(s); err != nil || d < time.Minute || d > time.Hour {
		return errors.New("is no duration from 1m to 1h")
	}
	return nil
}

func isScanSchedule(s string) error { return api.CheckScanSchedule(s, time.Now()) }

func isCount(s string) error {
	if n, err := strconv.Atoi(s); err != nil || n < 1 {
		return errors.New("is no number of 1 or more")
	}
	return nil
}

func isBytes(s string) error {
	if n, err := parseBytes(s); err != nil || n < 1 {
		return errors.New("is no size such as 4MiB or 20GiB")
	}
	return nil
}

func oneOf(allowed ...string) func(string) error {
	return func(s string) error {
		for _, a := range allowed {
			if s == a {
				return nil
			}
		}
		return errors.New("is none of " + strings.Join(allowed, ", "))
	}
}

func hasScheme(schemes ...string) func(string) error {
	return func(s string) error {
		for _, a := range schemes {
			if s == "" || strings.HasPrefix(s, a+":") {
				return nil
			}
		}
		return errors.New("begins with none of " + strings.Join(schemes, ":, ") + ":")
	}
}

func isMasterKey(s string) error {
	if s == "" {
		return nil
	}
	if b, err := base64.StdEncoding.DecodeString(s); err != nil || len(b) != 32 {
		return errors.New("is not 32 bytes in base64; make one with: head -c 32 /dev/urandom | base64")
	}
	return nil
}
