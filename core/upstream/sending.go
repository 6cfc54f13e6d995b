package upstream

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"time"

	"github.com/hallmarkhub/hallmark/registry"
)

// sending is a body on its way to a registry behind, which ends where that registry falls silent. How long the client may
// take is watched by who reads from it.
type sending struct {
	p      *place
	ctx    context.Context
	cancel context.CancelCauseFunc
	late   *time.Timer
	body   io.Reader // nil: there is none
}

func (p *place) sending(body io.Reader) *sending {
	ctx, cancel := context.WithCancelCause(p.asked)
	s := &sending{p: p, ctx: ctx, cancel: cancel, late: time.AfterFunc(answerPatience+p.opt.Silence, func() { cancel(errSlow) })}
	switch body.(type) {
	case nil, *bytes.Reader, *bytes.Buffer, *strings.Reader:
		s.body = body // remote says where these go, since it knows how long they are
	default:
		s.body = &watched{s, body}
	}
	return s
}

func (s *sending) end() {
	s.late.Stop()
	s.cancel(nil)
}

// named puts the id of an upload as the client knows it into an error that speaks of it.
func (s *sending) named(err error, id string) error {
	var e *registry.Error
	if !errors.As(err, &e) || e.Upload == nil {
		return err
	}
	out, u := *e, *e.Upload
	u.ID = id
	out.Upload = &u
	return &out
}

// watched is a body of which the registry behind has to take more before it is silent for too long.
type watched struct {
	s    *sending
	body io.Reader
}

func (w *watched) Read(b []byte) (int, error) {
	w.s.late.Stop()
	n, err := w.body.Read(b)
	if err != nil {
		w.s.late.Reset(answerPatience + w.s.p.opt.Silence) // now it has to answer
	} else {
		w.s.late.Reset(w.s.p.opt.Silence)
	}
	return n, err
}
