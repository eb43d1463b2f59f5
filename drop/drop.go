// Package drop is the directory through which users of the system submit mail without the network,
// also while the node is down: [Write] puts a message there, a [Picker] in the node takes it to
// submission.
//
// The directory belongs to the node's user and has mode 03733: everybody may make files in it, nobody
// but the node may list it, nobody may touch the files of others. A message is written under another
// name, synced, and renamed to "new.*"; Write returns once that would survive a power cut.
//
// Who submits is the owner of the file, which the kernel knows, never what the file says: package
// drop decides by it whose name the message may carry. A file that cannot be used is set aside in
// "bad" with its reason beside it; it neither blocks others nor is it lost. Of a message that is refused
// the user hears in a report ([Returner]). A file is removed only after the queue has the message, and
// carries a name (origin) by which a repeat after a crash is known.
//
// The format is in docs/formats/drop.md.
package drop

import (
	"strings"

	"posthaste/mail"
	"posthaste/smtp"
)

// DefaultDir is where the directory is when no configuration that we may read says otherwise.
const DefaultDir = "/var/spool/posthaste/drop"

// Bounds of a file.
const (
	MaxRecipients = 10_000
	maxHead       = 4 << 20 // bytes before the content
	maxLine       = 2 << 10 // bytes of a line of the head
)

// A Submission is what a user asks for, beside the content.
type Submission struct {
	From       *mail.ReversePath // as named by -f; nil: the submitter's own address
	Name       string            // full name of the author, for a From field that is missing
	Recipients []mail.Recipient  // addresses may be without domain
	Body       mail.BodyType
	SMTPUTF8   bool
	Ret        mail.Ret
	EnvID      string
}

// ParseAddress reads an address that may be without domain, as local users write them.
func ParseAddress(text string) (mail.Address, error) {
	a, err := smtp.ParseAddress(text)
	if err == nil || strings.HasSuffix(text, "@") {
		return a, err
	}
	local, localErr := smtp.ParseAddress(text + "@localhost.invalid")
	if localErr != nil {
		return a, err
	}
	return mail.Address{Local: local.Local}, nil
}
