package admin

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"

	"posthaste/mailfile"
)

// A stream of messages is, for each, a line of JSON (messageHead) and then Size bytes.

func newLineReader(line []byte) io.Reader { return bytes.NewReader(append(line, '\n')) }

// readLine reads one line of JSON into v; io.EOF where there is none.
func readLine(r *bufio.Reader, v any) error {
	line, err := r.ReadSlice('\n')
	if err != nil {
		return err
	}
	return json.Unmarshal(line, v)
}

func writeMessage(w *bufio.Writer, m mailfile.Message) error {
	head, err := json.Marshal(messageHead{m.Received, m.Flags, int64(len(m.Content))})
	if err != nil {
		return fmt.Errorf("admin: message: %w", err)
	}
	w.Write(head)
	w.WriteByte('\n')
	_, err = w.Write(m.Content)
	return err
}

func readMessages(r *bufio.Reader) iter.Seq2[mailfile.Message, error] {
	return func(yield func(mailfile.Message, error) bool) {
		for {
			var head messageHead
			err := readLine(r, &head)
			if errors.Is(err, io.EOF) {
				return
			}
			var m mailfile.Message
			if err == nil {
				m, err = readContent(r, head)
			}
			if !yield(m, err) || err != nil {
				return
			}
		}
	}
}

func readContent(r *bufio.Reader, head messageHead) (mailfile.Message, error) {
	if head.Size < 0 || head.Size > mailfile.MaxMessage {
		return mailfile.Message{}, fmt.Errorf("admin: a message of %d bytes in the stream", head.Size)
	}
	m := mailfile.Message{Content: make([]byte, head.Size), Received: head.Received, Flags: head.Flags}
	if _, err := io.ReadFull(r, m.Content); err != nil {
		return m, fmt.Errorf("admin: stream of messages: %w", err)
	}
	return m, nil
}
