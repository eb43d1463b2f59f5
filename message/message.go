// Package message is the grammar of message content: header fields (RFC 5322, RFC 6532), MIME
// structure (RFC 2045 to 2047, RFC 2231), charsets, and how to write all of it.
//
// [Parse] never fails. It indexes content by offsets and copies no body, so that a message of any
// size costs a few allocations for each part. Fields are read when asked for: [Header.Subject],
// [Header.From] and their like decode then. Mail as it comes is broken in many ways, and all of it
// must be kept and shown: lines may end in LF, delimiters may be missing, NUL may be anywhere.
//
// Whatever a stranger sends, time is linear in its size and memory is bounded: see the constants in
// this file. The package does no I/O and knows no envelope.
package message

// Bounds on the structure that Parse indexes. Content beyond them is kept, but not looked into.
const (
	MaxDepth  = 100     // nesting of multiparts and messages
	MaxParts  = 10_000  // parts in all
	MaxFields = 50_000  // header fields in all parts together
	MaxValue  = 1 << 20 // bytes of one field that are read; [Field.Value] has all
)

// A Message is parsed content, or a message enclosed in another (message/rfc822).
type Message struct {
	// Content is what Parse was given, shared and not copied. The offsets of every Part, those of
	// an enclosed message as well, count from its start.
	Content []byte
	// Header is that of Root.
	Header Header
	// Root is the whole message as a part. It is never nil.
	Root *Part
	// Truncated tells that a bound kept Parse from indexing all of the structure.
	Truncated bool
}

// A Part is one MIME entity (RFC 2045 section 2.4). Its types are what the sender declared except
// where that cannot be true, so that two rules always hold: a multipart has at least one child, or
// it becomes text/plain; a message/rfc822 or message/global has Message, or it becomes
// application/octet-stream.
type Part struct {
	Header Header

	MediaType string // lower case; "text" when undeclared
	Subtype   string // lower case; "plain" when undeclared
	Params    Params // of Content-Type, decoded
	Encoding  string // Content-Transfer-Encoding in lower case; "7bit" when undeclared

	ID          string // Content-ID with its angle brackets, or empty
	Description string // Content-Description as written, unfolded
	MD5         string // Content-MD5 (RFC 1864)
	Location    string // Content-Location (RFC 2557)
	Language    []string

	Disposition       string // lower case, or empty
	DispositionParams Params

	// Header is Content[HeaderStart:BodyStart], its empty line included; body is
	// Content[BodyStart:End]. The line break before a delimiter belongs to the delimiter.
	HeaderStart, BodyStart, End int

	// Lines counts the line breaks in the body of text and message parts, else it is 0.
	Lines int

	Children []*Part  // of a multipart
	Message  *Message // of message/rfc822 and message/global

	content []byte // the same as Message.Content
	broken  bool   // the types are not those of the header
}

// Raw returns header and body as they came.
func (p *Part) Raw() []byte { return p.content[p.HeaderStart:p.End] }

// Body returns the body as it came, still encoded.
func (p *Part) Body() []byte { return p.content[p.BodyStart:p.End] }

// Type returns "text/plain", in lower case.
func (p *Part) Type() string { return p.MediaType + "/" + p.Subtype }

// IsMultipart tells whether p has Children.
func (p *Part) IsMultipart() bool { return len(p.Children) > 0 }

// A Param is one parameter of a structured field (RFC 2045 section 5.1).
type Param struct {
	Name  string // lower case, without the marks of RFC 2231
	Value string // unquoted and decoded to UTF-8
}

// Params are in the order of the field, continuations joined (RFC 2231 section 3).
type Params []Param

// Get returns the first value of name, which is lower case, or "".
func (ps Params) Get(name string) string {
	for _, p := range ps {
		if p.Name == name {
			return p.Value
		}
	}
	return ""
}
