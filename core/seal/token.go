package seal

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"hash/crc32"
	"math/big"
	"strings"
)

// Prefixes of tokens. A scanner finds them by the regular expression hm[pr]_[0-9A-Za-z]{49} and tells them from chance
// by their checksum.
const (
	PersonalPrefix = "hmp_" // personal token of a user
	RobotPrefix    = "hmr_" // secret of a robot
)

const (
	digits      = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	randomChars = 43 // 256 bits in base 62
	checkChars  = 6  // CRC-32 (IEEE) of all before it, in base 62
)

// NewToken makes a token: prefix, 256 random bits, checksum.
func NewToken(prefix string) string {
	random := make([]byte, 32)
	rand.Read(random)
	body := prefix + base62(new(big.Int).SetBytes(random), randomChars)
	return body + checksum(body)
}

// IsToken reports whether s has the form of a token with this prefix, so that what was cut off or mistyped is refused
// without asking the database. It says nothing about whether the token is valid.
func IsToken(prefix, s string) bool {
	if len(s) != len(prefix)+randomChars+checkChars || !strings.HasPrefix(s, prefix) {
		return false
	}
	body := len(s) - checkChars
	return subtle.ConstantTimeCompare([]byte(s[body:]), []byte(checksum(s[:body]))) == 1
}

// HashToken is what is stored of a token: SHA-256, in hex. A token has 256 random bits, so a slow hash would add
// nothing.
func HashToken(s string) string {
	h := sha256.Sum256([]byte(s))
	return hex.EncodeToString(h[:])
}

// TokenMatches reports whether hash is HashToken of s, in a time that does not tell where they differ.
func TokenMatches(hash, s string) bool {
	return subtle.ConstantTimeCompare([]byte(hash), []byte(HashToken(s))) == 1
}

func checksum(body string) string {
	return base62(big.NewInt(int64(crc32.ChecksumIEEE([]byte(body)))), checkChars)
}

func base62(n *big.Int, width int) string {
	out := make([]byte, width)
	base, digit := big.NewInt(int64(len(digits))), new(big.Int)
	for i := width - 1; i >= 0; i-- {
		n.DivMod(n, base, digit)
		out[i] = digits[digit.Int64()]
	}
	return string(out)
}
