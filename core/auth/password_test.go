package auth

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hallmarkhub/hallmark/core"
)

func newPasswords(t testing.TB, params HashParams) *Passwords {
	t.Helper()
	p, err := NewPasswords(params, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestPasswordHash(t *testing.T) {
	p, ctx := newPasswords(t, HashParams{}), context.Background()
	hash, err := p.Hash(ctx, goodPassword)
	if err != nil || !strings.HasPrefix(hash, "$argon2id$v=19$m=19456,t=2,p=1$") {
		t.Fatalf("%q, %v", hash, err)
	}
	if again, _ := p.Hash(ctx, goodPassword); again == hash {
		t.Error("no salt")
	}
	for password, want := range map[string]bool{goodPassword: true, goodPassword + " ": false, "": false, strings.ToUpper(goodPassword): false} {
		if ok, err := p.Verify(ctx, hash, password); err != nil || ok != want {
			t.Errorf("%q: %v, %v", password, ok, err)
		}
	}
	// Costs are read from the hash, so they can be raised.
	cheap := newPasswords(t, cheapHash())
	if ok, err := cheap.Verify(ctx, hash, goodPassword); err != nil || !ok {
		t.Errorf("with other costs: %v, %v", ok, err)
	}
	if !cheap.Outdated(hash) || p.Outdated(hash) || !p.Outdated("") {
		t.Error("Outdated is wrong")
	}
	// A test vector made with the reference implementation: echo -n password | argon2 somesalt -id -t 2 -m 16 -p 1 -e
	const reference = "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc"
	if ok, err := p.Verify(ctx, reference, "password"); err != nil || !ok {
		t.Errorf("the reference vector: %v, %v", ok, err)
	}
}

// V-19: a user that is not there costs a hash.
func TestV19UnknownUserRunsTheHash(t *testing.T) {
	p := newPasswords(t, cheapHash())
	for i, password := range []string{goodPassword, "none", "", strings.Repeat("x", maxPasswordBytes+1)} {
		if ok, err := p.Verify(context.Background(), "", password); ok || err != nil {
			t.Errorf("%q: %v, %v", password, ok, err)
		}
		if p.Runs() != int64(i+1) {
			t.Fatalf("%d hashes after %d passwords", p.Runs(), i+1)
		}
	}
}

func TestMalformedHashes(t *testing.T) {
	p := newPasswords(t, cheapHash())
	const tail = "$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc"
	for _, hash := range []string{
		"plain", "$2a$10$abcdefghijklmnopqrstuv", "$argon2id$", "$argon2i$v=19$m=64,t=1,p=1" + tail, "$argon2id$v=16$m=64,t=1,p=1" + tail,
		"$argon2id$v=19$m=4294967295,t=1,p=1" + tail, "$argon2id$v=19$m=64,t=0,p=1" + tail, "$argon2id$v=19$m=64,t=999,p=1" + tail,
		"$argon2id$v=19$m=64,t=1,p=0" + tail, "$argon2id$v=19$m=64,t=1,p=255" + tail, "$argon2id$v=19$m=64,t=1" + tail,
		"$argon2id$v=19$m=64,t=1,p=1$!!!$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc", "$argon2id$v=19$m=64,t=1,p=1$c29tZXNhbHQ$",
		"$argon2id$v=19$m=64,t=1,p=1$c29tZXNhbHQ$Q1Q", "$argon2id$v=19$m=64,t=1,p=1" + tail + "$more",
	} {
		if ok, err := p.Verify(context.Background(), hash, "password"); ok || err == nil {
			t.Errorf("%s: %v, %v", hash, ok, err)
		}
	}
}

func TestNewPasswords(t *testing.T) {
	p := newPasswords(t, cheapHash())
	for password, ok := range map[string]bool{
		strings.Repeat("é", 6) + "abcdef":       true,
		"elevenchars":                           false, // one short of the limit
		"twelve chars":                          true,
		"zq" + strings.Repeat("tülpe ", 21):     true,  // 128 characters, more bytes
		"zq!" + strings.Repeat("tülpe ", 21):    false, // one past the limit
		"Harbor12345":                           false,
		"Harbor12345!":                          false,
		"harbor123456":                          false,
		"PasswordPassword":                      false,
		"administrator1":                        false,
		"Administrator1 ":                       false,
		"P@ssw0rd1234":                          false,
		"Password2026!":                         false,
		"aaaaaaaaaaaaaaaa":                      false,
		"abababababababab":                      false,
		"1234567890123456":                      false,
		"zyxwvutsrqponm":                        false,
		"correct horse battery staple":          false,
		"correct horse battery":                 true,
		"":                                      false,
		"some\x00thing that is long":            false,
		"not utf-8 \xff but long enough":        false,
		"wonderland-alice":                      true,
		"alicealicealice":                       false,
		"Alice1234567890":                       false,
		"anothername 42 and 7 more, I think so": true,
	} {
		err := p.CheckNew("/password", "alice", password)
		if (err == nil) != ok {
			t.Errorf("%q: %v", password, err)
		}
		if err != nil {
			wantCode(t, err, core.CodeInvalid)
			if len(password) > 3 && strings.Contains(err.Error(), password) {
				t.Errorf("the password is in the error: %v", err)
			}
		}
	}
	if len(p.breached) < 300 {
		t.Errorf("the list has only %d passwords", len(p.breached))
	}
}

// One more than may wait is told to come back, without waiting.
func TestHashQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPasswords(t, cheapHash())
		for range cap(p.slots) {
			p.slots <- struct{}{}
		}
		ctx, cancel := context.WithCancel(context.Background())
		results := make(chan error, maxWaiting)
		for range maxWaiting - 1 {
			go func() {
				_, err := p.Verify(context.Background(), "", "x")
				results <- err
			}()
		}
		go func() {
			_, err := p.Verify(ctx, "", "x")
			results <- err
		}()
		synctest.Wait()
		_, err := p.Verify(context.Background(), "", "x")
		wantCode(t, err, core.CodeTooMany)
		if e, ok := err.(*core.Error); !ok || e.RetryAfter <= 0 {
			t.Error("no Retry-After")
		}
		cancel() // who gives up makes room
		if err := <-results; err != context.Canceled {
			t.Errorf("given up: %v", err)
		}
		for range cap(p.slots) {
			<-p.slots
		}
		for range maxWaiting - 1 {
			if err := <-results; err != nil {
				t.Error(err)
			}
		}
		if p.waiting.Load() != 0 {
			t.Errorf("%d still wait", p.waiting.Load())
		}
	})
}
