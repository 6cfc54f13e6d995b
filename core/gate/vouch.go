package gate

import (
	"time"

	"github.com/hallmarkhub/hallmark/core"
)

// Vouches says whether somebody who is registered stands behind a verified signature: as a key or an identity that is not
// revoked, valid when it signed, with the log entries and times that its registration wants. name is how people know the
// signer, whether or not it is trusted.
func (r *Registered) Vouches(s *core.Signer, now time.Time) (name string, trusted bool) {
	if r == nil || s == nil || now.IsZero() {
		return "", false
	}
	defer func() {
		if recover() != nil {
			trusted = false
		}
	}()
	name = r.describe(s).in(English)
	e := evaluation{in: &Input{Registered: r}, now: now}
	code, life := e.trusts(&authority{registered: true}, s)
	if code != "" || !e.proved(&life, s) {
		return name, false
	}
	_, trusted = e.valid(life, s)
	return name, trusted
}
