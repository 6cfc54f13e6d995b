package auth

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/crypto/argon2"
)

// HashParams are the costs of argon2id (RFC 9106). They stand in each hash, so raising them leaves old ones valid.
type HashParams struct {
	MemoryKiB uint32
	Passes    uint32
	Lanes     uint8
}

// DefaultHashParams are those of the OWASP password storage cheat sheet for argon2id: 19 MiB, two passes, one lane.
func DefaultHashParams() HashParams { return HashParams{MemoryKiB: 19 * 1024, Passes: 2, Lanes: 1} }

func (h HashParams) check() error {
	// The upper bounds keep a hash that somebody wrote into the database from taking the machine.
	if h.MemoryKiB < 8*uint32(h.Lanes) || h.MemoryKiB > 1<<20 || h.Passes < 1 || h.Passes > 64 || h.Lanes < 1 || h.Lanes > 16 {
		return errors.New("the costs of argon2id are out of range: memory 8 KiB a lane to 1 GiB, 1 to 64 passes, 1 to 16 lanes")
	}
	return nil
}

// encodeHash writes the PHC string format: $argon2id$v=19$m=19456,t=2,p=1$salt$hash.
func encodeHash(h HashParams, salt, sum []byte) string {
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, h.MemoryKiB, h.Passes, h.Lanes,
		base64.RawStdEncoding.EncodeToString(salt), base64.RawStdEncoding.EncodeToString(sum))
}

var errHash = errors.New("the stored password is not an argon2id hash in PHC form; set a new password with: hallmark user passwd")

func decodeHash(s string) (h HashParams, salt, sum []byte, err error) {
	parts := strings.Split(s, "$")
	if len(parts) != 6 || parts[0] != "" || parts[1] != "argon2id" || parts[2] != fmt.Sprintf("v=%d", argon2.Version) {
		return h, nil, nil, errHash
	}
	if _, err := fmt.Sscanf(parts[3], "m=%d,t=%d,p=%d", &h.MemoryKiB, &h.Passes, &h.Lanes); err != nil || h.check() != nil {
		return h, nil, nil, errHash
	}
	salt, err = base64.RawStdEncoding.DecodeString(parts[4])
	if err != nil || len(salt) < 8 || len(salt) > 64 {
		return h, nil, nil, errHash
	}
	sum, err = base64.RawStdEncoding.DecodeString(parts[5])
	if err != nil || len(sum) < 16 || len(sum) > 64 {
		return h, nil, nil, errHash
	}
	return h, salt, sum, nil
}
