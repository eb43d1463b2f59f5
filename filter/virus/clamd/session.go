package clamd

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"posthaste/filter/virus"
)

// Bounds of one question.
const (
	chunkSize = 64 << 10 // bytes of content after each length
	maxAnswer = 4096     // bytes of an answer
)

// ask sends a command, and content unless nil, and returns the answer without its NUL. Commands that
// begin with z end in NUL, and so do their answers.
func (e *Engine) ask(ctx context.Context, command string, content []byte) (string, error) {
	select {
	case e.slots <- struct{}{}:
		defer func() { <-e.slots }()
	case <-ctx.Done():
		return "", fmt.Errorf("clamd: all connections are in use: %w", ctx.Err())
	}
	conn, err := e.dial(ctx, e.network, e.address)
	if err != nil {
		return "", fmt.Errorf("clamd: %w", err)
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	// clamd answers before the end of content when it is too long for it and then closes: the answer is
	// read while content is still being written, or the reset would take it away.
	answer := make(chan answered, 1)
	go func() {
		line, err := readAnswer(conn)
		answer <- answered{line, err}
	}()
	written := write(conn, command, content)
	if written != nil && !errors.Is(written, net.ErrClosed) {
		conn.SetReadDeadline(time.Now().Add(lastWords))
	}
	got := <-answer
	switch {
	case ctx.Err() != nil:
		return "", fmt.Errorf("clamd: no answer to %s: %w", command, ctx.Err())
	case got.err == nil:
		return got.line, nil
	case written != nil:
		return "", fmt.Errorf("clamd: send %s: %w", command, written)
	}
	return "", fmt.Errorf("clamd: no answer to %s: %w", command, got.err)
}

// lastWords is how long an answer is awaited from a clamd that takes no more content.
const lastWords = time.Second

type answered struct {
	line string
	err  error
}

// write sends a command and content in chunks: a length of four bytes before each, the last zero.
func write(w io.Writer, command string, content []byte) error {
	if _, err := io.WriteString(w, "z"+command+"\x00"); err != nil || content == nil {
		return err
	}
	buf := make([]byte, 0, 4+min(chunkSize, len(content)))
	for len(content) > 0 {
		n := min(chunkSize, len(content))
		buf = binary.BigEndian.AppendUint32(buf[:0], uint32(n))
		buf = append(buf, content[:n]...)
		if _, err := w.Write(buf); err != nil {
			return err
		}
		content = content[n:]
	}
	_, err := w.Write(make([]byte, 4))
	return err
}

// readAnswer reads up to a NUL.
func readAnswer(r io.Reader) (string, error) {
	var line []byte
	buf := make([]byte, 512)
	for {
		n, err := r.Read(buf)
		line = append(line, buf[:n]...)
		if end := bytes.IndexByte(line, 0); end >= 0 {
			return string(line[:end]), nil
		}
		if len(line) > maxAnswer {
			return "", fmt.Errorf("more than %d bytes without an end", maxAnswer)
		}
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return "", err
		}
	}
}

// An answer to INSTREAM; the zero answer is "no virus".
type answer struct {
	virus     string // name of what was found
	unscanned string // why clamd did not look, or not into all of it
}

// Names of viruses that are none: clamd gives them to what it did not look into, with AlertExceedsMax.
const limitsExceeded = "Heuristics.Limits.Exceeded"

// parseAnswer reads "stream: OK", "stream: NAME FOUND" or "… ERROR".
func parseAnswer(line string) (answer, error) {
	line = strings.TrimSpace(line)
	if strings.HasPrefix(line, "INSTREAM size limit exceeded") {
		return answer{unscanned: "the message is longer than its StreamMaxLength"}, nil
	}
	rest, ok := strings.CutPrefix(line, "stream:")
	rest = strings.TrimSpace(rest)
	if !ok {
		return answer{}, fmt.Errorf("clamd: it answers %q", virus.CleanName(line))
	}
	if rest == "OK" {
		return answer{}, nil
	}
	name, ok := strings.CutSuffix(rest, " FOUND")
	switch {
	case !ok:
		return answer{}, fmt.Errorf("clamd: it answers %q", virus.CleanName(line))
	case strings.HasPrefix(name, limitsExceeded):
		return answer{unscanned: "it has parts beyond its limits (" + virus.CleanName(name) + ")"}, nil
	}
	return answer{virus: virus.CleanName(name)}, nil
}
