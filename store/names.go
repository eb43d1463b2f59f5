package store

import (
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// Bounds of mailboxes.
const (
	maxNameBytes     = 1000 // of a whole path
	maxNameLevels    = 50
	maxMailboxes     = 10_000
	maxSubscriptions = 20_000
)

const (
	inboxName = "INBOX"
	separator = "/"
)

// cleanName returns the one form of a mailbox name: in NFC, INBOX in capitals where it is the first
// level, without the separator at the end that CREATE may have (RFC 9051 section 6.3.4).
func cleanName(name string) (string, error) {
	name = strings.TrimSuffix(name, separator)
	if !utf8.ValidString(name) || len(name) > maxNameBytes {
		return "", fmt.Errorf("store: %.40q…: %w: want UTF-8 of at most %d bytes", name, ErrMailboxName, maxNameBytes)
	}
	levels := strings.Split(norm.NFC.String(name), separator)
	if len(levels) > maxNameLevels {
		return "", fmt.Errorf("store: %.40q…: %w: more than %d levels", name, ErrMailboxName, maxNameLevels)
	}
	for _, level := range levels {
		if level == "" || level == "." || level == ".." || strings.ContainsFunc(level, unicode.IsControl) {
			return "", fmt.Errorf("store: %q: %w: a level is empty, dots, or has control characters", name, ErrMailboxName)
		}
	}
	if strings.EqualFold(levels[0], inboxName) {
		levels[0] = inboxName
	}
	return strings.Join(levels, separator), nil
}

// lookup returns the mailbox of a clean name in records by ID.
func lookup(boxes []boxRecord, name string) (*boxRecord, bool) {
	var parent MailboxID
	var found *boxRecord
	for level := range strings.SplitSeq(name, separator) {
		if found = child(boxes, parent, level); found == nil {
			return nil, false
		}
		parent = found.ID
	}
	return found, found != nil
}

// child returns the mailbox called level right below parent.
func child(boxes []boxRecord, parent MailboxID, level string) *boxRecord {
	for i := range boxes {
		if boxes[i].Parent == parent && boxes[i].Name == level {
			return &boxes[i]
		}
	}
	return nil
}

// path returns the whole name of a record.
func path(boxes []boxRecord, box *boxRecord) string {
	name := box.Name
	for parent := box.Parent; parent != 0; {
		i, ok := findBox(boxes, parent)
		if !ok {
			break
		}
		name = boxes[i].Name + separator + name
		parent = boxes[i].Parent
	}
	return name
}

// mailbox returns a record as callers see it.
func (s *state) mailbox(box *boxRecord) Mailbox {
	m := *box
	m.Name = path(s.boxes, box)
	_, m.Subscribed = slices.BinarySearch(s.subs, m.Name)
	return m
}

// compareNames orders INBOX first and parents before children.
func compareNames(a, b string) int {
	inA, inB := isInbox(a), isInbox(b)
	switch {
	case inA && !inB:
		return -1
	case inB && !inA:
		return 1
	}
	return slices.Compare(strings.Split(a, separator), strings.Split(b, separator))
}

func isInbox(name string) bool {
	return name == inboxName || strings.HasPrefix(name, inboxName+separator)
}
