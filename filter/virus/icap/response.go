package icap

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http/httputil"
	"net/textproto"
	"strconv"
	"strings"

	"posthaste/filter/virus"
)

// Bounds on what a server answers.
const (
	maxHead   = 64 << 10 // bytes of the ICAP header
	maxInner  = 64 << 10 // bytes of the HTTP headers within
	chunkRoom = 20       // bytes of framing for each byte of body: a chunk may hold a single one
	maxNames  = 10       // viruses of which the names are read
)

// A response is the begin of an answer.
type response struct {
	code   int
	text   string
	header textproto.MIMEHeader
}

// A reader reads answers, never more than is left.
type reader struct {
	left *io.LimitedReader
	*bufio.Reader
}

func newReader(r io.Reader) reader {
	left := &io.LimitedReader{R: r}
	return reader{left, bufio.NewReader(left)}
}

// response reads a status line and a header.
func (r reader) response() (response, error) {
	r.left.N = maxHead
	t := textproto.NewReader(r.Reader)
	line, err := t.ReadLine()
	if err != nil {
		return response{}, unexpected(err)
	}
	proto, rest, _ := strings.Cut(line, " ")
	word, text, _ := strings.Cut(rest, " ")
	code, err := strconv.Atoi(word)
	if !strings.HasPrefix(proto, "ICAP/") || err != nil || code < 100 || code > 599 {
		return response{}, fmt.Errorf("%q is no answer of ICAP", virus.CleanName(line))
	}
	h, err := t.ReadMIMEHeader()
	if err != nil {
		return response{}, unexpected(err)
	}
	return response{code, text, h}, nil
}

// unexpected makes of an early end an error that says so.
func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// An answer to RESPMOD or REQMOD.
type answer struct {
	names []string // of viruses; empty: the message passes
}

// answer reads what follows r about content, which was sent.
func (r reader) answer(head response, content []byte) (answer, error) {
	if names := infections(head.header); len(names) > 0 {
		return answer{names}, nil
	}
	switch head.code {
	case 204:
		return answer{}, nil
	case 200, 201:
		return r.modified(head.header, content)
	}
	return answer{}, fmt.Errorf("it answers %d %s", head.code, virus.CleanName(head.text))
}

// modified reads the HTTP message that an answer encloses and compares it with what was sent.
func (r reader) modified(h textproto.MIMEHeader, content []byte) (answer, error) {
	status, length, body, err := encapsulated(h.Get("Encapsulated"))
	if err != nil {
		return answer{}, err
	}
	r.left.N = int64(length) + chunkRoom*int64(len(content)+1) + maxHead
	inner := make([]byte, length)
	if _, err := io.ReadFull(r, inner); err != nil {
		return answer{}, unexpected(err)
	}
	if status >= 0 && !passes(inner[status:]) {
		return answer{[]string{"unnamed, the server blocks the message"}}, nil
	}
	if !body {
		return answer{[]string{"unnamed, the server takes the content away"}}, nil
	}
	same, err := equals(httputil.NewChunkedReader(r), content)
	if err != nil {
		return answer{}, unexpected(err)
	}
	if !same {
		return answer{[]string{"unnamed, the server changes the content"}}, nil
	}
	return answer{}, nil
}

// encapsulated reads the field of that name (RFC 3507 section 4.4.1): where the header of an HTTP response
// begins or -1, how long headers are together, and whether a body follows.
func encapsulated(field string) (status, length int, body bool, err error) {
	status, length = -1, -1
	for item := range strings.SplitSeq(field, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(item), "=")
		n, err := strconv.Atoi(value)
		if err != nil || n < 0 || n > maxInner || length >= 0 {
			return 0, 0, false, fmt.Errorf("the field Encapsulated is wrong: %q", virus.CleanName(field))
		}
		switch strings.ToLower(name) {
		case "res-hdr":
			status = n
		case "req-hdr":
		case "null-body":
			length = n
		case "res-body", "req-body", "opt-body":
			length, body = n, true
		default:
			return 0, 0, false, fmt.Errorf("the field Encapsulated is wrong: %q", virus.CleanName(field))
		}
	}
	if length < 0 || status > length {
		return 0, 0, false, fmt.Errorf("the field Encapsulated is wrong: %q", virus.CleanName(field))
	}
	return status, length, body, nil
}

// passes tells whether an HTTP response says 200, as the one did that we sent.
func passes(head []byte) bool {
	line, _, _ := bytes.Cut(head, []byte("\n"))
	fields := bytes.Fields(line)
	return len(fields) >= 2 && bytes.HasPrefix(fields[0], []byte("HTTP/")) && string(fields[1]) == "200"
}

// equals tells whether r gives content and nothing more. It stops reading at the first difference.
func equals(r io.Reader, content []byte) (bool, error) {
	buf := make([]byte, 32<<10)
	for {
		n, err := r.Read(buf)
		if n > len(content) || !bytes.Equal(buf[:n], content[:n]) {
			return false, nil
		}
		content = content[n:]
		if err == io.EOF {
			return len(content) == 0, nil
		}
		if err != nil {
			return false, err
		}
	}
}

// infections returns the viruses that a header names. The fields are no standard, but servers agree.
func infections(h textproto.MIMEHeader) []string {
	var names []string
	for _, v := range h.Values("X-Infection-Found") { // "Type=0; Resolution=2; Threat=NAME;"
		name := "unnamed"
		for part := range strings.SplitSeq(v, ";") {
			if n, ok := strings.CutPrefix(strings.TrimSpace(part), "Threat="); ok && n != "" {
				name = n
			}
		}
		names = append(names, name)
	}
	if len(names) == 0 {
		names = append(names, h.Values("X-Virus-Id")...)
	}
	if v := h.Get("X-Violations-Found"); len(names) == 0 && v != "" && v != "0" {
		names = append(names, v)
	}
	for i := range names {
		names[i] = virus.CleanName(names[i])
	}
	return names[:min(len(names), maxNames)]
}
