package attachment

import (
	"slices"
	"strings"

	"posthaste/filter"
	"posthaste/mail"
)

// A Class is a group of rules that share an action.
type Class uint8

// The classes.
const (
	Weighed    Class = iota // only weights
	Executable              // programs and what starts them
	Script                  // files that a double click runs
	Disguise                // names that hide what a file is
	Listed                  // denied extensions and sums
	Macro                   // documents that act when they are opened
	Encrypted               // what opens only with a password
	Active                  // scripts and forms in PDF and HTML
	Bomb                    // what is made to burst
)

// A rule is what can be found.
type rule struct {
	name    string
	class   Class
	weight  float64
	meaning string
}

// The rules. They are values of functions' arguments and never change.
var (
	executable     = &rule{"ATTACH_EXECUTABLE", Executable, 8, "A file attached is a program, or starts one."}
	script         = &rule{"ATTACH_SCRIPT", Script, 6, "A file attached is a script that a double click runs."}
	scriptAmong    = &rule{"ARCHIVE_SCRIPT", Weighed, 0.5, "There are scripts among many files of an archive."}
	doubleExt      = &rule{"ATTACH_DOUBLE_EXTENSION", Disguise, 5, "A file has the extension of a document before the dangerous one."}
	nameTrick      = &rule{"ATTACH_NAME_TRICK", Disguise, 4, "The name of a file is written so that its extension is not seen."}
	mismatch       = &rule{"ATTACH_TYPE_MISMATCH", Weighed, 2, "A file is not what its name or its declared type says."}
	hidden         = &rule{"ATTACH_HIDDEN_EXECUTABLE", Disguise, 6, "A program is named like a document or an image."}
	denied         = &rule{"ATTACH_DENIED", Listed, 5, "The extension of a file is denied here."}
	listed         = &rule{"ATTACH_HASH", Listed, 20, "The SHA-256 sum of a file is on the list of this server."}
	macro          = &rule{"ATTACH_MACRO", Macro, 3, "A document has macros."}
	macroSheet     = &rule{"ATTACH_MACRO_SHEET", Macro, 4, "A workbook has a sheet of Excel 4.0 macros."}
	remoteTemplate = &rule{"ATTACH_REMOTE_TEMPLATE", Macro, 4, "A document loads a template or an object from elsewhere when it is opened."}
	exploit        = &rule{"ATTACH_OLE_EQUATION", Macro, 6, "A document has an object of the old equation editor, which is known for its holes."}
	oleObject      = &rule{"ATTACH_OLE_OBJECT", Weighed, 1, "A document has another file within."}
	lockedOffice   = &rule{"ATTACH_ENCRYPTED_OFFICE", Encrypted, 2, "A document opens only with a password, so that nobody could look into it."}
	lockedArchive  = &rule{"ARCHIVE_ENCRYPTED", Encrypted, 2, "An archive opens only with a password, so that nobody could look into it."}
	pdfScript      = &rule{"PDF_SCRIPT", Active, 1.5, "A PDF has scripts."}
	pdfLaunch      = &rule{"PDF_LAUNCH", Active, 4, "A PDF wants to start a program."}
	pdfEmbedded    = &rule{"PDF_EMBEDDED", Weighed, 0.5, "A PDF has another file within."}
	pdfLocked      = &rule{"PDF_ENCRYPTED", Weighed, 0.5, "A PDF is encrypted, so that not all of it could be looked at."}
	htmlSmuggling  = &rule{"HTML_SMUGGLING", Active, 4, "An HTML file builds another file when it is opened."}
	htmlPassword   = &rule{"HTML_PASSWORD_FORM", Active, 3.5, "An HTML file asks for a password."}
	htmlRedirect   = &rule{"HTML_REDIRECT", Active, 2, "An HTML file leads elsewhere by itself when it is opened."}
	htmlScript     = &rule{"HTML_SCRIPT", Weighed, 1, "An HTML file that is attached has scripts."}
	htmlForm       = &rule{"HTML_FORM", Weighed, 1, "An HTML file that is attached has a form."}
	bomb           = &rule{"ARCHIVE_BOMB", Bomb, 8, "An archive is made to burst when it is unpacked."}
	mimeBomb       = &rule{"MIME_BOMB", Bomb, 4, "The message has more parts, or deeper ones, than any program writes."}
	limit          = &rule{"ARCHIVE_LIMIT", Weighed, 0.5, "Not all of the attachments could be looked into within the bounds."}
	opaque         = &rule{"ARCHIVE_OPAQUE", Weighed, 0.3, "There is an archive of a kind that is not looked into."}
	broken         = &rule{"ARCHIVE_BROKEN", Weighed, 0.5, "An archive is damaged or made so that programs read it differently."}
)

// Bounds on what is told.
const (
	maxEvidence = 3   // items for each rule
	maxText     = 120 // characters of a path
)

// seen is a rule that was found and where.
type seen struct {
	*rule
	evidence []string
	more     bool
}

// add notes that r was found in the file at path.
func (l *look) add(r *rule, path, what string) {
	text := what
	if path != "" {
		text = `"` + visible(path) + `" ` + what
	}
	i := slices.IndexFunc(l.seen, func(s seen) bool { return s.rule == r })
	if i < 0 {
		l.seen = append(l.seen, seen{rule: r})
		i = len(l.seen) - 1
	}
	s := &l.seen[i]
	switch {
	case slices.Contains(s.evidence, text):
	case len(s.evidence) < maxEvidence:
		s.evidence = append(s.evidence, text)
	default:
		s.more = true
	}
}

// result makes findings of what was seen, and the strongest action of their classes.
func (l *look) result() filter.Result {
	var r filter.Result
	for _, s := range l.seen {
		f := mail.Finding{Rule: s.name, Weight: s.weight, Evidence: strings.Join(s.evidence, "; "), Meaning: s.meaning}
		if s.more {
			f.Evidence += "; and more"
		}
		r.Findings = append(r.Findings, f)
		if a := l.actions[s.class]; s.class != Weighed && a > r.Action {
			r.Action, r.Reason = a, "attachments: "+s.evidence[0]
		}
	}
	if r.Action == mail.Reject {
		r.Reply = mail.NewStatus(554, "5.7.1", "our policy about %s", ascii(r.Reason))
	}
	return r
}

// visible returns s without what hides or reorders characters, at most maxText of them.
func visible(s string) string {
	n := 0
	return strings.Map(func(r rune) rune {
		if n++; n > maxText {
			return -1
		}
		if r < ' ' || r == 0x7f || r == '\ufffd' || isHiding(r) {
			return '?'
		}
		return r
	}, s)
}

// ascii returns s for an SMTP reply.
func ascii(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, s)
}
