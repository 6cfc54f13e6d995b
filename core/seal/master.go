package seal

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
)

// masterVariable and masterFile are what people know the key by, for the sentences they read.
const masterVariable = "HALLMARK_MASTER_KEY"

// maxKeyFile is far more than 32 bytes in base64 with line ends.
const maxKeyFile = 1024

// LoadMasterKey returns the keyring of value (32 bytes in base64, HALLMARK_MASTER_KEY) or, if value is empty, of the
// file at path, which holds the same. If there is no such file it is made with a random key, where create allows it:
// mode 0600, whole or not at all, and never over another one. Errors are one sentence and hold nothing of the key.
func LoadMasterKey(value, path string, create bool) (*Keyring, error) {
	if strings.TrimSpace(value) != "" {
		return decodeMaster([]byte(value), masterVariable)
	}
	k, err := readMaster(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return k, err
	}
	if !create {
		return nil, fmt.Errorf("%s is not set and there is no key file %s: set %s to the key this hub was started with, or for a new hub to the output of: openssl rand -base64 %d",
			masterVariable, path, masterVariable, KeySize)
	}
	key := make([]byte, KeySize)
	rand.Read(key)
	err = WriteFile(path, append(base64.StdEncoding.AppendEncode(nil, key), '\n'))
	if errors.Is(err, fs.ErrExist) { // another process was first, and its key is the key
		return readMaster(path)
	}
	if err != nil {
		return nil, fmt.Errorf("the master key file %s could not be made, set %s or give the hub the right to write there: %w", path, masterVariable, err)
	}
	return New(key)
}

func readMaster(path string) (*Keyring, error) {
	f, err := os.Open(path)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		return nil, fmt.Errorf("the master key file %s cannot be read, make it readable for the user the hub runs as: %w", path, err)
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("the master key file %s cannot be read: %w", path, err)
	}
	if !st.Mode().IsRegular() {
		return nil, fmt.Errorf("the master key file %s is not a file", path)
	}
	if st.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("the master key file %s can be read by others (mode %04o), run: chmod 600 %s", path, st.Mode().Perm(), path)
	}
	text, err := io.ReadAll(io.LimitReader(f, maxKeyFile))
	if err != nil {
		return nil, fmt.Errorf("the master key file %s cannot be read: %w", path, err)
	}
	return decodeMaster(text, "the master key file "+path)
}

func decodeMaster(text []byte, name string) (*Keyring, error) {
	text = bytes.TrimRight(bytes.TrimSpace(text), "=")
	key, err := base64.RawStdEncoding.AppendDecode(nil, text)
	if err != nil {
		key, err = base64.RawURLEncoding.AppendDecode(nil, text)
	}
	if err != nil {
		return nil, fmt.Errorf("%s is not base64; it has to be %d bytes in base64, as made by: openssl rand -base64 %d", name, KeySize, KeySize)
	}
	if len(key) != KeySize {
		return nil, fmt.Errorf("%s holds %d bytes instead of %d; make a key with: openssl rand -base64 %d", name, len(key), KeySize, KeySize)
	}
	return New(key)
}
