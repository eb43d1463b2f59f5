// Package mailfile reads and writes mailboxes as other programs keep them in files: Maildir and mbox.
//
// Lines end in LF in these files and in CRLF in a [Message]; reading and writing convert. Flags are
// IMAP's names (\Seen …). Reading goes on over a file that cannot be a message only where nothing is
// lost by it; everything else is an error that names the file.
package mailfile

import (
	"bytes"
	"errors"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"time"
)

// MaxMessage bounds one message, in bytes. More is no mail but a broken file.
const MaxMessage = 1 << 30

// ErrFormat means that a path is neither a Maildir nor an mbox.
var ErrFormat = errors.New("neither a Maildir nor an mbox")

// A Message is one message of a mailbox.
type Message struct {
	Content  []byte    // lines end in CRLF
	Received time.Time // when it came, as far as the file knows
	Flags    []string  // \Seen \Answered \Flagged \Draft \Deleted and keywords
}

// Open returns the messages at path, a Maildir folder or an mbox file, in order of age, and the bytes
// they take, for showing progress.
func Open(path string) (messages iter.Seq2[Message, error], size int64, err error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, 0, fmt.Errorf("mailfile: %w", err)
	}
	if info.IsDir() {
		return openMaildir(path)
	}
	return openMbox(path, info.Size())
}

// isMaildir tells whether path has the folders of a Maildir.
func isMaildir(path string) bool {
	for _, sub := range []string{"cur", "new"} {
		if info, err := os.Stat(filepath.Join(path, sub)); err == nil && info.IsDir() {
			return true
		}
	}
	return false
}

// toCRLF returns text with every line end as CRLF; a CR or LF that stands alone is a line end too.
func toCRLF(text []byte) []byte {
	lone := bytes.Count(text, []byte{'\n'}) - bytes.Count(text, []byte("\r\n"))
	if lone == 0 && bytes.Count(text, []byte{'\r'}) == bytes.Count(text, []byte("\r\n")) {
		return text
	}
	out := make([]byte, 0, len(text)+lone)
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '\n':
			out = append(out, '\r', '\n')
		case c == '\r':
			out = append(out, '\r', '\n')
			if i+1 < len(text) && text[i+1] == '\n' {
				i++
			}
		default:
			out = append(out, c)
		}
	}
	return out
}

// toLF returns content with CRLF as LF.
func toLF(content []byte) []byte { return bytes.ReplaceAll(content, []byte("\r\n"), []byte{'\n'}) }
