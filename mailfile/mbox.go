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
	text, flags := takeStatus(text)
	return Message{Content: toCRLF(text), Received: fromLineTime(from), Flags: flags}
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

// statusLetters are the letters in Status and X-Status, in the order they stand there.
var statusLetters = []struct{ field, letter, flag string }{
	{"status", "R", `\Seen`}, {"x-status", "A", `\Answered`}, {"x-status", "F", `\Flagged`}, {"x-status", "T", `\Draft`}, {"x-status", "D", `\Deleted`},
}

// takeStatus takes the fields Status, X-Status and X-Keywords out of the header of text. Mail programs
// keep flags and keywords of an mbox there: they belong to the format, not to the message.
func takeStatus(text []byte) (rest []byte, flags []string) {
	rest = make([]byte, 0, len(text))
	taking := false
	for line := range bytes.Lines(text) {
		if len(bytes.TrimRight(line, "\r\n")) == 0 {
			break
		}
		text = text[len(line):]
		if folded := line[0] == ' ' || line[0] == '\t'; !folded {
			name, value, ok := strings.Cut(string(line), ":")
			name = strings.ToLower(name)
			taking = ok && (name == "status" || name == "x-status" || name == "x-keywords")
			if taking {
				flags = append(flags, flagsIn(name, value)...)
			}
		}
		if !taking {
			rest = append(rest, line...)
		}
	}
	return append(rest, text...), flags
}

// flagsIn returns what a status field says.
func flagsIn(name, value string) (flags []string) {
	if name == "x-keywords" {
		return strings.Fields(value)
	}
	for _, l := range statusLetters {
		if l.field == name && strings.Contains(value, l.letter) {
			flags = append(flags, l.flag)
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

// Write adds m.
func (b *Mbox) Write(m Message) error { return PrintMbox(b.buf, "", m) }

// PrintMbox writes m as it stands in an mbox, between an empty line, or the beginning, and an empty
// line. sender, an address or "" for the null reverse-path, goes into the line that begins it. Flags go
// into the fields Status and X-Status, keywords into X-Keywords, at the end of the header; such fields
// of the message itself are left out, as readers would take them for ours.
func PrintMbox(w *bufio.Writer, sender string, m Message) error {
	fmt.Fprintf(w, "From %s %s\n", fromSender(sender), m.Received.UTC().Format(fromDate))
	text, _ := takeStatus(toLF(m.Content))
	header, body, split := bytes.Cut(text, []byte("\n\n"))
	if !split {
		header, body = bytes.TrimSuffix(text, []byte{'\n'}), nil
	}
	writeQuoted(w, header)
	for _, field := range statusFields(m.Flags) {
		w.WriteString("\n" + field)
	}
	w.WriteString("\n\n")
	writeQuoted(w, body)
	if len(body) > 0 && body[len(body)-1] != '\n' {
		w.WriteByte('\n')
	}
	_, err := w.WriteString("\n")
	return err
}

// fromSender is a sender as one word.
func fromSender(sender string) string {
	if sender == "" {
		return "MAILER-DAEMON"
	}
	return strings.Map(func(c rune) rune {
		if c <= ' ' || c == 0x7f {
			return '_'
		}
		return c
	}, sender)
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

// statusFields returns the fields that say flags, none where there are none.
func statusFields(flags []string) (fields []string) {
	letters := map[string]string{}
	var keywords []string
	for _, l := range statusLetters {
		if slices.Contains(flags, l.flag) {
			letters[l.field] += l.letter
		}
	}
	for _, flag := range flags {
		if !strings.HasPrefix(flag, `\`) {
			keywords = append(keywords, flag)
		}
	}
	if letters["status"] != "" {
		fields = append(fields, "Status: RO") // O: old, has been there when the mailbox was opened
	}
	if letters["x-status"] != "" {
		fields = append(fields, "X-Status: "+letters["x-status"])
	}
	if len(keywords) > 0 {
		fields = append(fields, "X-Keywords: "+strings.Join(keywords, " "))
	}
	return fields
}
