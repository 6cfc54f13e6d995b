package seal

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

func newKeyring(t *testing.T) *Keyring {
	t.Helper()
	key := make([]byte, KeySize)
	rand.Read(key)
	k, err := New(key)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestSealAndOpen(t *testing.T) {
	box := newKeyring(t).Box("test")
	at := Place{"secret", "1", "sealed"}
	for _, plain := range [][]byte{nil, {}, []byte("x"), bytes.Repeat([]byte("long"), 1000)} {
		sealed := box.Seal(plain, at)
		if len(plain) > 3 && bytes.Contains(sealed, plain[:4]) {
			t.Fatal("the plaintext shows")
		}
		if len(sealed) != len(plain)+29 {
			t.Fatalf("%d bytes sealed are %d", len(plain), len(sealed))
		}
		got, err := box.Open(sealed, at)
		if err != nil || !bytes.Equal(got, plain) {
			t.Fatalf("Open = %q, %v", got, err)
		}
		if bytes.Equal(sealed, box.Seal(plain, at)) {
			t.Fatal("the same twice: the nonce is not random")
		}
	}
}

// V-52: a row read from a dump opens nowhere else.
func TestV52SwappedRowsDoNotOpen(t *testing.T) {
	k := newKeyring(t)
	box, at := k.Box("test"), Place{"secret", "row1", "sealed"}
	sealed := box.Seal([]byte("password of the upstream"), at)
	for name, open := range map[string]func() ([]byte, error){
		"other row":        func() ([]byte, error) { return box.Open(sealed, Place{"secret", "row2", "sealed"}) },
		"other column":     func() ([]byte, error) { return box.Open(sealed, Place{"secret", "row1", "other"}) },
		"other table":      func() ([]byte, error) { return box.Open(sealed, Place{"endpoint", "row1", "sealed"}) },
		"shifted borders":  func() ([]byte, error) { return box.Open(sealed, Place{"secretrow1", "", "sealed"}) },
		"other purpose":    func() ([]byte, error) { return k.Box("test2").Open(sealed, at) },
		"other master key": func() ([]byte, error) { return newKeyring(t).Box("test").Open(sealed, at) },
		"cut off":          func() ([]byte, error) { return box.Open(sealed[:len(sealed)-1], at) },
		"empty":            func() ([]byte, error) { return box.Open(nil, at) },
		"only a version":   func() ([]byte, error) { return box.Open([]byte{version}, at) },
	} {
		if got, err := open(); !errors.Is(err, ErrOpen) {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	for i := range sealed {
		changed := bytes.Clone(sealed)
		changed[i] ^= 1
		if _, err := box.Open(changed, at); !errors.Is(err, ErrOpen) {
			t.Errorf("byte %d changed: %v", i, err)
		}
	}
}

func TestKeyringDoesNotPrintItsKey(t *testing.T) {
	k, err := New([]byte("canary-canary-canary-canary-cana"))
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("start", "key", k)
	out := log.String() + fmt.Sprintf("%v %+v %#v %s", k, k, k, k)
	for _, canary := range []string{"canary", "63616e", "99 97 110", "0x63"} {
		if strings.Contains(out, canary) {
			t.Errorf("%q holds %q", out, canary)
		}
	}
}

func TestTokens(t *testing.T) {
	a, b := NewToken(PersonalPrefix), NewToken(PersonalPrefix)
	if a == b || len(a) != 53 || !IsToken(PersonalPrefix, a) || IsToken(RobotPrefix, a) {
		t.Fatal("tokens are not as they should be")
	}
	for i := range len(a) {
		changed := []byte(a)
		if changed[i] = '0'; a[i] == '0' {
			changed[i] = '1'
		}
		if IsToken(PersonalPrefix, string(changed)) {
			t.Errorf("a mistyped character %d is not seen", i)
		}
	}
	for _, s := range []string{"", "hmp_", a[:52], a + "0", "x" + a[1:]} {
		if IsToken(PersonalPrefix, s) {
			t.Errorf("%q passes", s)
		}
	}
	if !TokenMatches(HashToken(a), a) || TokenMatches(HashToken(a), b) || TokenMatches("", a) || len(HashToken(a)) != 64 {
		t.Error("hashes do not tell tokens apart")
	}
}
