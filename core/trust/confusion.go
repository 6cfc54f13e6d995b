package trust

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/digitorus/timestamp"
	"github.com/sigstore/sigstore-go/pkg/tlog"
)

// checkConfusion makes sure that log entries and timestamps belong to this very signature. A bundle with those of another
// one was put together by somebody who hopes that a part is not looked at, so it is refused whole, also where no
// registered log or authority would have been asked.
func (e *entity) checkConfusion() error {
	for _, entry := range e.entries {
		if err := tlog.ValidateEntry(entry); err != nil {
			return fmt.Errorf("a transparency log entry in it is damaged: %w", err)
		}
		if sig := entry.Signature(); len(sig) == 0 || !bytes.Equal(sig, e.content.Signature()) {
			return errors.New("a transparency log entry in it belongs to another signature")
		}
	}
	for _, stamp := range e.stamps {
		if err := e.checkStamp(stamp); err != nil {
			return err
		}
	}
	return nil
}

// checkStamp compares the message imprint of an RFC 3161 timestamp, which is of the signature.
func (e *entity) checkStamp(stamp []byte) error {
	t, err := timestamp.ParseResponse(stamp)
	if err != nil {
		return fmt.Errorf("a timestamp in it is damaged: %w", err)
	}
	if !t.HashAlgorithm.Available() {
		return errors.New("a timestamp in it uses a hash that is not known here")
	}
	h := t.HashAlgorithm.New()
	h.Write(e.content.Signature())
	if !bytes.Equal(h.Sum(nil), t.HashedMessage) {
		return errors.New("a timestamp in it belongs to another signature")
	}
	return nil
}
