package worker

import (
	"bufio"
	"context"
	"errors"
	"io"
	"os"
	"time"

	"github.com/hallmarkhub/hallmark/scanner-adapter/image"
	"github.com/hallmarkhub/hallmark/scanner-adapter/job"
	"github.com/hallmarkhub/hallmark/scanner-adapter/sandbox"
)

// Conversation is one child that is given documents, one after the other, and answers each. The limits of a scan hold for it
// as a whole. It is used by one goroutine.
type Conversation struct {
	cancel    context.CancelFunc
	documents chan []byte
	answers   chan []byte
	over      chan struct{} // closed when the child is gone, and err is set
	err       error
}

// Converse starts a child. What is wrong with it is what the first Ask returns.
func (w *Worker) Converse(ctx context.Context, j job.Job) *Conversation {
	ctx, cancel := context.WithCancel(ctx)
	c := &Conversation{cancel: cancel, documents: make(chan []byte), answers: make(chan []byte), over: make(chan struct{})}
	go func() {
		defer close(c.over)
		c.err = c.run(ctx, w, j)
	}()
	return c
}

func (c *Conversation) run(ctx context.Context, w *Worker, j job.Job) error {
	dir, err := w.makeDir()
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	input, err := w.input(j)
	if err != nil {
		return err
	}
	heard := make(chan struct{})
	err = w.Box.Converse(ctx, sandbox.Command{Path: w.Path, Args: w.Args, Dir: dir}, w.Limits,
		func(in io.Writer) { c.tell(in, input, heard) },
		func(out io.Reader) *sandbox.Failure {
			defer close(heard)
			return c.hear(ctx, out, w.Limits.Output)
		})
	if err == nil {
		err = &sandbox.Failure{Code: sandbox.CodeCrash, Message: "The scanner ended before it was told to."}
	}
	return err
}

// tell hands the job and then the documents over, each a line.
func (c *Conversation) tell(in io.Writer, input []byte, heard <-chan struct{}) {
	if _, err := in.Write(append(input, '\n')); err != nil {
		return
	}
	for {
		select {
		case <-heard:
			return
		case d, more := <-c.documents:
			if !more {
				return
			}
			if _, err := in.Write(d); err != nil {
				return
			}
			if _, err := in.Write([]byte{'\n'}); err != nil {
				return
			}
		}
	}
}

// hear hands the child's lines on.
func (c *Conversation) hear(ctx context.Context, out io.Reader, limit int64) *sandbox.Failure {
	lines := bufio.NewReaderSize(out, 64<<10)
	for {
		line, err := ReadLine(lines, limit)
		switch {
		case errors.Is(err, ErrLong):
			return &sandbox.Failure{Code: sandbox.CodeOutput, Message: "The findings have more bytes than limits.report."}
		case err == nil:
			select {
			case c.answers <- line:
				continue
			case <-ctx.Done():
			}
		}
		return nil // it has ended, and how is known elsewhere
	}
}

// ErrLong is what ReadLine says of a line that is too long.
var ErrLong = errors.New("the line is too long")

// ReadLine reads a line of at most limit bytes, without its end. Of a longer one it returns how it begins: unless its end is
// there, the rest is still to be read. A line without an end is none: what there is of it comes with the error.
func ReadLine(r *bufio.Reader, limit int64) ([]byte, error) {
	var line []byte
	for {
		part, err := r.ReadSlice('\n')
		if line = append(line, part...); int64(len(line)) > limit+1 || int64(len(line)) > limit && err != nil {
			return line, ErrLong
		}
		if errors.Is(err, bufio.ErrBufferFull) {
			continue
		}
		if err != nil {
			return line, err
		}
		return line[:len(line)-1], nil
	}
}

// Ask hands a document over, which is one line, and returns what the child answers. A *sandbox.Failure says that the child is
// gone, an *image.Error what is wrong with the document.
func (c *Conversation) Ask(ctx context.Context, document []byte, patience time.Duration) (*job.Result, error) {
	timer := time.NewTimer(patience)
	defer timer.Stop()
	documents, answers := c.documents, chan []byte(nil)
	for {
		select {
		case documents <- document:
			documents, answers = nil, c.answers
		case line := <-answers:
			r, err := decode(line)
			if err != nil {
				c.End()
				return nil, err
			}
			if r.Failure != nil {
				r.Failure.Message = sentence(r.Failure.Message, "")
				return nil, r.Failure
			}
			return r, nil
		case <-c.over:
			return nil, c.err
		case <-ctx.Done():
			c.End()
			return nil, &sandbox.Failure{Code: sandbox.CodeStopped, Message: "The work was stopped."}
		case <-timer.C:
			c.End()
			return nil, &sandbox.Failure{Code: sandbox.CodeTime, Message: "The document took longer than " + patience.String() + ". Raise limits.sbom_time if you trust it."}
		}
	}
}

// End ends the child and waits until nothing is left of it.
func (c *Conversation) End() {
	c.cancel()
	<-c.over
}

// OfDocument reports whether an error of Ask is what is wrong with the document alone: the child goes on.
func OfDocument(err error) bool {
	var refused *image.Error
	return errors.As(err, &refused)
}
