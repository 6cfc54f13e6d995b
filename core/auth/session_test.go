package auth

import (
	"crypto/tls"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/db/dbtest"
	"github.com/hallmarkhub/hallmark/core/store"
)

// browser keeps the cookie, over TLS or from this machine.
type browser struct {
	h      *hub
	tls    bool
	remote string
	cookie *http.Cookie
}

func (b *browser) request() *http.Request {
	r := request("GET", "/api/v1/users/me")
	if b.remote != "" {
		r.RemoteAddr = b.remote
	}
	r = r.WithContext(core.WithOrigin(b.h.ctx, core.Origin{IP: b.h.proxies.Client(r).String()}))
	if b.tls {
		r.TLS = &tls.ConnectionState{}
	}
	if b.cookie != nil {
		r.AddCookie(b.cookie)
	}
	return r
}

func (b *browser) keep(w *httptest.ResponseRecorder) {
	for _, c := range w.Result().Cookies() {
		b.cookie = c
	}
}

func (b *browser) login(password string) (*store.Session, error) {
	w := httptest.NewRecorder()
	s, err := b.h.Login(w, b.request(), "alice", password)
	b.keep(w)
	return s, err
}

func (b *browser) me() (*core.Principal, error) { return b.h.API(b.request()) }

func (b *browser) wantOut(t *testing.T, what string) {
	t.Helper()
	if p, err := b.me(); core.CodeOf(err) != core.CodeUnauthenticated {
		t.Errorf("%s: %+v, %v", what, p, err)
	}
}

// W-03: cookie flags, rotation, fixation, log-out, and that nothing but a password begins a session.
func TestW03Sessions(t *testing.T) {
	onEach(t, func(t *testing.T, h *hub) {
		alice := h.user("alice")
		b := &browser{h: h, tls: true, remote: "203.0.113.5:1"}
		if _, err := b.login("wrong"); core.CodeOf(err) != core.CodeUnauthenticated || b.cookie != nil {
			t.Fatalf("a wrong password: %v, %v", err, b.cookie)
		}
		s, err := b.login(goodPassword)
		if err != nil {
			t.Fatal(err)
		}
		c := b.cookie
		if c.Name != "__Host-hallmark" || !c.Secure || !c.HttpOnly || c.SameSite != http.SameSiteLaxMode || c.Path != "/" || c.Domain != "" ||
			c.MaxAge != 12*3600 || len(c.Value) < 50 || s.IP != "203.0.113.5" {
			t.Errorf("%+v, %+v", c, s)
		}
		p, err := b.me()
		wantPrincipal(t, p, err, "alice", "session:"+s.ID)
		if v, err := h.Verified(h.ctx, p); err != nil || !v {
			t.Errorf("not verified after log-in: %v", err)
		}
		// A second log-in ends the session of before.
		old := *b
		if _, err := b.login(goodPassword); err != nil {
			t.Fatal(err)
		}
		old.wantOut(t, "the session of before")
		// Asking for the password again changes the cookie.
		old = *b
		p, _ = b.me()
		w := httptest.NewRecorder()
		wantCode(t, h.Reauthenticate(w, b.request(), p, "wrong"), core.CodeUnauthenticated)
		if err := h.Reauthenticate(w, b.request(), p, goodPassword); err != nil {
			t.Fatal(err)
		}
		b.keep(w)
		old.wantOut(t, "the cookie of before")
		p, err = b.me()
		wantPrincipal(t, p, err, "alice", "session:")
		// The same cookie is worth nothing over plain http, nor a planted one.
		plain := &browser{h: h, cookie: &http.Cookie{Name: "__Host-hallmark", Value: b.cookie.Value}}
		if p, err := plain.me(); err != nil || p.Kind != core.KindAnonymous {
			t.Errorf("over plain http: %+v, %v", p, err)
		}
		planted := &browser{h: h, tls: true, cookie: &http.Cookie{Name: "__Host-hallmark", Value: "planted"}}
		planted.wantOut(t, "a planted cookie")
		w = httptest.NewRecorder()
		if err := h.Logout(w, b.request(), p); err != nil {
			t.Fatal(err)
		}
		b.wantOut(t, "after log-out")
		if out := w.Result().Cookies()[0]; out.MaxAge != -1 || out.Value != "" {
			t.Errorf("the cookie stays: %+v", out)
		}
		if list, _, err := h.Sessions(h.ctx, alice.ID, "", 0); err != nil || len(list) != 0 {
			t.Errorf("sessions left: %v, %v", list, err)
		}
	})
}

func TestCookieOverPlainHTTP(t *testing.T) {
	h := sqliteHub(t)
	h.user("alice")
	b := &browser{h: h}
	if _, err := b.login(goodPassword); err != nil || b.cookie.Name != "hallmark" || b.cookie.Secure || !b.cookie.HttpOnly {
		t.Errorf("on this machine: %+v, %v", b.cookie, err)
	}
	elsewhere := &browser{h: h, remote: "203.0.113.5:1"}
	if _, err := elsewhere.login(goodPassword); core.CodeOf(err) != core.CodeForbidden || elsewhere.cookie != nil {
		t.Errorf("from elsewhere: %+v, %v", elsewhere.cookie, err)
	}
	elsewhere.cookie = b.cookie
	if p, err := elsewhere.me(); err != nil || p.Kind != core.KindAnonymous {
		t.Errorf("its cookie from elsewhere: %+v, %v", p, err)
	}
}

// Thirty minutes without a request, twelve hours in all, five minutes since the password.
func TestSessionLives(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := startHub(t, dbtest.SQLite(t)(t))
		h.user("alice")
		idle, busy := &browser{h: h}, &browser{h: h}
		for _, b := range []*browser{idle, busy} {
			if _, err := b.login(goodPassword); err != nil {
				t.Fatal(err)
			}
		}
		p, _ := busy.me()
		for i, want := range []bool{true, false} {
			<-time.After(SessionVerified*time.Duration(1-i) + time.Duration(i)*time.Second)
			if v, err := h.Verified(h.ctx, p); err != nil || v != want {
				t.Errorf("verified %v, %v", v, err)
			}
		}
		<-time.After(SessionIdle - SessionVerified - 2*time.Second)
		for _, b := range []*browser{idle, busy} {
			p, err := b.me()
			wantPrincipal(t, p, err, "alice", "session:")
		}
		begun := SessionIdle - time.Second
		for ; begun+29*time.Minute < SessionMax; begun += 29 * time.Minute {
			<-time.After(29 * time.Minute)
			if _, err := busy.me(); err != nil {
				t.Fatalf("after %v: %v", begun, err)
			}
			if err := h.usage.flush(h.ctx, h.store); err != nil {
				t.Fatal(err)
			}
		}
		idle.wantOut(t, "idle")
		<-time.After(SessionMax - begun)
		busy.wantOut(t, "after twelve hours")
	})
}

// That a session is idle is not believed from memory: another process may have written that it is not.
func TestSessionUsedElsewhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := startHub(t, dbtest.SQLite(t)(t))
		h.user("alice")
		b := &browser{h: h}
		s, err := b.login(goodPassword)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := b.me(); err != nil {
			t.Fatal(err)
		}
		<-time.After(SessionIdle - time.Minute)
		if err := h.store.TouchSessions(h.ctx, map[string]time.Time{s.ID: h.store.Now()}); err != nil {
			t.Fatal(err)
		}
		<-time.After(2 * time.Minute)
		if _, err := b.me(); err != nil {
			t.Errorf("used elsewhere: %v", err)
		}
	})
}

// V-51: a new password needs the old one and ends every session.
func TestV51PasswordChange(t *testing.T) {
	onEach(t, func(t *testing.T, h *hub) {
		alice := h.user("alice")
		_, personal := h.personal(alice, "laptop", nil, 0)
		one, two := &browser{h: h}, &browser{h: h}
		for _, b := range []*browser{one, two} {
			if _, err := b.login(goodPassword); err != nil {
				t.Fatal(err)
			}
			if _, err := b.me(); err != nil {
				t.Fatal(err)
			}
		}
		p, _ := one.me()
		wantCode(t, h.CheckPassword(one.request(), p, "wrong"), core.CodeUnauthenticated)
		if err := h.CheckPassword(one.request(), p, goodPassword); err != nil {
			t.Fatal(err)
		}
		wantCode(t, h.SetPassword(h.ctx, p.ID, p.Name, "short"), core.CodeInvalid)
		wantCode(t, h.SetPassword(h.ctx, p.ID, p.Name, "PasswordPassword"), core.CodeInvalid)
		if err := h.SetPassword(h.ctx, p.ID, p.Name, "another good password"); err != nil {
			t.Fatal(err)
		}
		one.wantOut(t, "this session")
		two.wantOut(t, "the other session")
		if _, err := one.login(goodPassword); core.CodeOf(err) != core.CodeUnauthenticated {
			t.Errorf("the old password: %v", err)
		}
		if _, err := one.login("another good password"); err != nil {
			t.Errorf("the new password: %v", err)
		}
		if _, err := h.API(bearer(personal)); err != nil {
			t.Errorf("a personal token: %v", err)
		}
		q, err := h.API(bearer(personal))
		wantPrincipal(t, q, err, "alice", "token:")
		if v, err := h.Verified(h.ctx, q); err != nil || v {
			t.Errorf("a token counts as the password: %v, %v", v, err)
		}
	})
}
