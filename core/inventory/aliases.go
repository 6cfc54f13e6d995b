package inventory

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/store"
)

// AliasLimits bound a list of aliases. A limit that is not set has its default.
type AliasLimits struct {
	Bytes int64 // 64 MiB
	Lines int   // 300,000
}

const maxAliasLine = 64 << 10

// ParseAliases reads a list: CSV with the columns id, alias and perhaps title, or an object of these on each line. What is wrong
// is told with its line.
func ParseAliases(r io.Reader, limits AliasLimits) ([]store.Alias, error) {
	if limits.Bytes == 0 {
		limits.Bytes = 64 << 20
	}
	if limits.Lines == 0 {
		limits.Lines = 300_000
	}
	left := &io.LimitedReader{R: r, N: limits.Bytes + 1}
	in := bufio.NewReaderSize(left, maxAliasLine)
	if mark, _ := in.Peek(3); bytes.Equal(mark, []byte("\xef\xbb\xbf")) {
		_, _ = in.Discard(3) // they are buffered
	}
	first, err := in.Peek(1)
	if errors.Is(err, io.EOF) {
		return nil, core.Invalid("", "the list is empty: to remove the aliases of a source, delete it")
	}
	if err != nil {
		return nil, notRead(err)
	}
	p := aliasParser{limit: limits.Lines}
	if first[0] == '{' {
		err = p.lines(in)
	} else {
		err = p.csv(in)
	}
	if left.N == 0 {
		return nil, core.Errorf(core.CodeTooLarge, "a list of aliases may have at most %d bytes: split it, and give each part a source of its own", limits.Bytes)
	}
	if err != nil {
		return nil, err
	}
	return p.all, nil
}

func notRead(err error) error {
	return errors.Join(core.Errorf(core.CodeInvalid, "the list could not be read to its end"), err)
}

type aliasParser struct {
	all   []store.Alias
	limit int
}

// add takes what stands in a line.
func (p *aliasParser) add(line int, a store.Alias) error {
	switch {
	case !aliasName(a.Name):
		return core.Invalid("", "line %d: the id must have 1 to %d printable characters, such as CVE-2024-1", line, store.MaxAliasName)
	case !aliasName(a.Alias):
		return core.Invalid("", "line %d: the alias must have 1 to %d printable characters, such as CNNVD-202401-0001", line, store.MaxAliasName)
	case len(a.Title) > store.MaxAliasTitle:
		return core.Invalid("", "line %d: the title has %d bytes; the limit is %d", line, len(a.Title), store.MaxAliasTitle)
	case !utf8.ValidString(a.Title) || strings.ContainsFunc(a.Title, unicode.IsControl):
		return core.Invalid("", "line %d: the title must be one line of valid UTF-8", line)
	case len(p.all) == p.limit:
		return core.Errorf(core.CodeLimit, "line %d: a list may have at most %d aliases: split it, and give each part a source of its own", line, p.limit)
	}
	p.all = append(p.all, a)
	return nil
}

func aliasName(s string) bool {
	return s != "" && len(s) <= store.MaxAliasName && !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' })
}

func (p *aliasParser) lines(in io.Reader) error {
	scanner := bufio.NewScanner(in)
	scanner.Buffer(make([]byte, maxAliasLine), maxAliasLine)
	line := 0
	for scanner.Scan() {
		line++
		text := bytes.TrimSpace(scanner.Bytes())
		if len(text) == 0 {
			continue
		}
		var a struct{ ID, Alias, Title string }
		dec := json.NewDecoder(bytes.NewReader(text))
		dec.DisallowUnknownFields()
		if err := dec.Decode(&a); err != nil || dec.InputOffset() != int64(len(text)) {
			return core.Invalid("", `line %d: this must be one JSON object like {"id": "CVE-2024-1", "alias": "CNNVD-202401-0001", "title": "..."}`, line)
		}
		if err := p.add(line, store.Alias{Name: a.ID, Alias: a.Alias, Title: a.Title}); err != nil {
			return err
		}
	}
	if errors.Is(scanner.Err(), bufio.ErrTooLong) {
		return core.Invalid("", "line %d: it has more than %d bytes", line+1, maxAliasLine)
	}
	if scanner.Err() != nil {
		return notRead(scanner.Err())
	}
	return nil
}

func (p *aliasParser) csv(in io.Reader) error {
	r := csv.NewReader(in)
	r.ReuseRecord = true
	head, err := r.Read()
	if err != nil {
		return csvFault(err)
	}
	id, alias, title := slices.Index(head, "id"), slices.Index(head, "alias"), slices.Index(head, "title")
	if id < 0 || alias < 0 {
		return core.Invalid("", "line 1: the first line must name the columns: id,alias,title")
	}
	for {
		row, err := r.Read()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return csvFault(err)
		}
		a := store.Alias{Name: strings.Clone(row[id]), Alias: strings.Clone(row[alias])}
		if title >= 0 {
			a.Title = strings.Clone(row[title])
		}
		line, _ := r.FieldPos(0)
		if err := p.add(line, a); err != nil {
			return err
		}
	}
}

func csvFault(err error) error {
	var fault *csv.ParseError
	if errors.As(err, &fault) {
		return core.Invalid("", "line %d: this is no CSV line with as many columns as the first one", fault.Line)
	}
	return notRead(err)
}
