package mailfile

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"slices"
	"strings"
	"time"
)

// fromDate is the asctime form in the line that begins a message.
const fromDate = "Mon Jan _2 15:04:05 2006"

func openMbox(path string, size int64) (iter.Seq2[Message, error], int64, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, 0, fmt.Errorf("mailfile: %w", err)
	}
	var start [5]byte
	n, _ := io.ReadFull(file, start[:])
	file.Close()
	if n > 0 && string(start[:n]) != "From " {
		return nil, 0, fmt.Errorf("mailfile: %s: %w: an mbox begins with \"From \"", path, ErrFormat)
	}
	return func(yield func(Message, error) bool) {
		file, err := os.Open(path)
		if err != nil {
			yield(Message{}, fmt.Errorf("mailfile: %w", err))
			return
		}
		defer file.Close()
		for m, err := range ReadMbox(file) {
			if err != nil {
				err = fmt.Errorf("mailfile: %s: %w", path, err)
			}
			if !yield(m, err) || err != nil {
				return
			}
		}
	}, size, nil
}

// ReadMbox yields the messages of an mbox. A message begins with a line "From " at the start or after
// an empty line; in the mboxrd form that lines ">From " stand for, one ">" is taken away.
func ReadMbox(r io.Reader) iter.Seq2[Message, error] {
	return func(yield func(Message, error) bool) {
		lines := bufio.NewReaderSize(r, 64<<10)
		var text []byte
		var from string
		open, afterEmpty := false, true
		finish := func() bool { return !open || yield(mboxMessage(from, text), nil) }
		for {
			line, err := lines.ReadBytes('\n')
			if afterEmpty && bytes.HasPrefix(line, []byte("From ")) {
				if !finish() {
					return
				}
				open, from, text, afterEmpty = true, string(line), nil, false
				continue
			}
			if unquoted := bytes.TrimLeft(line, ">"); len(unquoted) < len(line) && bytes.HasPrefix(unquoted, []byte("From ")) {
				line = line[1:]
			}
			text = append(text, line...)
			afterEmpty = len(bytes.TrimRight(line, "\r\n")) == 0
			switch {
			case len(text) > MaxMessage:
				yield(Message{}, fmt.Errorf("a message has more than %d bytes", MaxMessage))
				return
			case errors.Is(err, io.EOF):
				finish()
				return
			case err != nil:
				yield(Message{}, err)
				return
			}
		}
	}
}

// mboxMessage makes a message from its first line and the text below.
func mboxMessage(from string, text []byte) Message {
	// The empty line before the next "From " belongs to the format, not to the message.
	if bytes.HasSuffix(text, []byte("\n\n")) || bytes.HasSuffix(text, []byte("\n\r\n")) {
		text = bytes.TrimSuffix(bytes.TrimSuffix(text, []byte{'\n'}), []byte{'\r'})
	}
	m := Message{Content: toCRLF(text), Received: fromLineTime(from)}
	m.Flags = statusFlags(text)
	return m
}

// fromLineTime returns the date of a "From " line, or zero.
func fromLineTime(line string) time.Time {
	words := strings.Fields(line)
	for i := range words {
		if i+5 > len(words) {
			break
		}
		for _, n := range []int{5, 6} { // without and with a zone before the year
			if i+n > len(words) {
				continue
			}
			date := slices.Clone(words[i : i+n])
			if n == 6 {
				date = slices.Delete(date, 4, 5)
			}
			if t, err := time.Parse("Mon Jan 2 15:04:05 2006", strings.Join(date, " ")); err == nil {
				return t
			}
		}
	}
	return time.Time{}
}

// statusFlags reads the fields Status and X-Status, in which mail programs keep flags in an mbox.
func statusFlags(text []byte) (flags []string) {
	for line := range bytes.Lines(text) {
		if len(bytes.TrimRight(line, "\r\n")) == 0 {
			break
		}
		name, value, ok := strings.Cut(string(line), ":")
		if !ok {
			continue
		}
		letters := ""
		switch strings.ToLower(name) {
		case "status", "x-status":
			letters = value
		}
		for _, f := range []struct{ letter, flag string }{{"R", `\Seen`}, {"A", `\Answered`}, {"F", `\Flagged`}, {"T", `\Draft`}, {"D", `\Deleted`}} {
			if strings.Contains(letters, f.letter) {
				flags = append(flags, f.flag)
			}
		}
	}
	return flags
}

// An Mbox writes messages into one file in the mboxrd form.
type Mbox struct {
	file *os.File
	buf  *bufio.Writer
}

// CreateMbox makes a file at path, which must not be there yet.
func CreateMbox(path string) (*Mbox, error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if errors.Is(err, os.ErrExist) {
		return nil, fmt.Errorf("mailfile: %s is there already: name another file", path)
	}
	if err != nil {
		return nil, fmt.Errorf("mailfile: %w", err)
	}
	return &Mbox{file, bufio.NewWriterSize(file, 256<<10)}, nil
}

// Write adds m. Flags go into Status and X-Status at the end of the header.
func (b *Mbox) Write(m Message) error {
	fmt.Fprintf(b.buf, "From MAILER-DAEMON %s\n", m.Received.UTC().Format(fromDate))
	text := toLF(m.Content)
	header, body, split := bytes.Cut(text, []byte("\n\n"))
	if !split {
		header, body = bytes.TrimSuffix(text, []byte{'\n'}), nil
	}
	writeQuoted(b.buf, header)
	if status, xstatus := statusLetters(m.Flags); status+xstatus != "" {
		fmt.Fprintf(b.buf, "\nStatus: %s\nX-Status: %s", status, xstatus)
	}
	b.buf.WriteString("\n\n")
	writeQuoted(b.buf, body)
	if len(body) > 0 && body[len(body)-1] != '\n' {
		b.buf.WriteByte('\n')
	}
	_, err := b.buf.WriteString("\n")
	return err
}

// Close writes what is left and syncs the file.
func (b *Mbox) Close() error {
	err := errors.Join(b.buf.Flush(), b.file.Sync())
	return errors.Join(err, b.file.Close())
}

// writeQuoted writes text with ">" before every line that would begin a message.
func writeQuoted(w *bufio.Writer, text []byte) {
	for line := range bytes.Lines(text) {
		if bytes.HasPrefix(bytes.TrimLeft(line, ">"), []byte("From ")) {
			w.WriteByte('>')
		}
		w.Write(line)
	}
}

func statusLetters(flags []string) (status, xstatus string) {
	if slices.Contains(flags, `\Seen`) {
		status = "RO"
	}
	for _, f := range []struct{ letter, flag string }{{"A", `\Answered`}, {"F", `\Flagged`}, {"T", `\Draft`}, {"D", `\Deleted`}} {
		if slices.Contains(flags, f.flag) {
			xstatus += f.letter
		}
	}
	return status, xstatus
}
