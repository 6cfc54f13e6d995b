package seal

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
)

// KeySize is the length of a master key and of the keys derived from it, in bytes (AES-256).
const KeySize = 32

// version is the first byte of everything sealed, so that another construction can follow.
const version = 1

// ErrOpen says that something sealed does not open: another master key, purpose or place, or changed bytes. Which of
// them cannot be told.
var ErrOpen = errors.New("sealed data does not open with this master key at this place")

// Keyring holds the master key. It prints as a word, never as the key. Its methods may be called concurrently.
type Keyring struct {
	master [KeySize]byte
}

// New makes a Keyring from a master key of KeySize bytes.
func New(master []byte) (*Keyring, error) {
	if len(master) != KeySize {
		return nil, fmt.Errorf("the master key has %d bytes instead of %d; make one with: openssl rand -base64 %d", len(master), KeySize, KeySize)
	}
	k := &Keyring{}
	copy(k.master[:], master)
	return k, nil
}

// String, GoString and LogValue keep the key out of whatever a keyring is printed into.
func (k *Keyring) String() string { return "master key" }

// GoString is String, for %#v.
func (k *Keyring) GoString() string { return "master key" }

// LogValue is String, for log/slog.
func (k *Keyring) LogValue() slog.Value { return slog.StringValue("master key") }

// Box returns the box of a purpose: its key is derived from the master key by HKDF-SHA256 (RFC 5869), so that what is
// sealed for one purpose does not open for another.
func (k *Keyring) Box(purpose string) *Box {
	key, err := hkdf.Key(sha256.New, k.master[:], nil, "hallmark seal 1: "+purpose, KeySize)
	if err != nil {
		panic("hkdf refuses a key of 32 bytes: " + err.Error()) // only for more than 255 hashes
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		panic("aes refuses a key of 32 bytes: " + err.Error())
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		panic("gcm refuses aes: " + err.Error())
	}
	return &Box{aead: aead}
}

// Box seals for one purpose: AES-256-GCM with a random nonce of 96 bits for each record, which is sound for 2^32
// records of a purpose (NIST SP 800-38D, 8.3). Its methods may be called concurrently.
type Box struct {
	aead cipher.AEAD
}

// Place is where a sealed value stands. It is authenticated with it, so a value copied to another row or column does
// not open there.
type Place struct {
	Table, Row, Column string
}

func (p Place) bytes() []byte {
	b := []byte{version}
	for _, s := range []string{p.Table, p.Row, p.Column} {
		// With its length before it no part can borrow from its neighbour.
		b = binary.BigEndian.AppendUint32(b, uint32(len(s)))
		b = append(b, s...)
	}
	return b
}

// Seal encrypts plaintext for a place. The result is 29 bytes longer.
func (b *Box) Seal(plaintext []byte, at Place) []byte {
	out := make([]byte, 1, 1+len(plaintext)+b.aead.Overhead())
	out[0] = version
	return b.aead.Seal(out, nil, plaintext, at.bytes())
}

// Open decrypts what Seal made for the same place. The error is ErrOpen.
func (b *Box) Open(sealed []byte, at Place) ([]byte, error) {
	if len(sealed) == 0 || sealed[0] != version {
		return nil, ErrOpen
	}
	plain, err := b.aead.Open(nil, nil, sealed[1:], at.bytes())
	if err != nil {
		return nil, ErrOpen
	}
	return plain, nil
}
