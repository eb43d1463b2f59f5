package dkim

import "posthaste/message"

// oversigned are the fields that are signed as often as they occur and once more, so that nobody can add
// another: what readers show or act on, and what says how the body is to be read. A list adds none of them.
var oversigned = []string{
	"From", "To", "Cc", "Subject", "Date", "Reply-To", "Message-ID", "In-Reply-To", "References",
	"MIME-Version", "Content-Type", "Content-Transfer-Encoding",
}

// signed are the fields that are signed where they are present. Lists and other hosts may add them.
var signed = []string{
	"Sender", "Content-Disposition", "Content-ID", "Content-Description", "Content-Language",
	"Resent-From", "Resent-To", "Resent-Cc", "Resent-Date", "Resent-Sender", "Resent-Message-ID",
	"List-Id", "List-Help", "List-Unsubscribe", "List-Unsubscribe-Post", "List-Subscribe", "List-Post",
	"List-Owner", "List-Archive", "Auto-Submitted", "Feedback-ID", "Autocrypt", "TLS-Report-Domain", "TLS-Report-Submitter",
}

// maxSigned is how many fields of one name are signed, the last ones; no mail has more.
const maxSigned = 10

// signedNames returns the h= of a message, in lower case letters as they stand in the lists above.
func signedNames(h message.Header) []string {
	names := make([]string, 0, 2*len(oversigned))
	for _, name := range oversigned {
		for range min(count(h, name), maxSigned) + 1 {
			names = append(names, name)
		}
	}
	for _, name := range signed {
		for range min(count(h, name), maxSigned) {
			names = append(names, name)
		}
	}
	return names
}

func count(h message.Header, name string) int {
	n := 0
	for _, f := range h.Fields() {
		if f.Is(name) {
			n++
		}
	}
	return n
}
