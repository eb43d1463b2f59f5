package imap

import (
	"strconv"
	"strings"
)

// Fetch is the argument of FETCH and UID FETCH.
type Fetch struct {
	Set          Set
	Items        []FetchItem
	Conditional  bool // CHANGEDSINCE was given
	ChangedSince uint64
}

// A FetchKind is what a data item of FETCH asks for.
type FetchKind uint8

// The data items of FETCH (RFC 9051 section 6.4.5, RFC 7162, RFC 8514). The RFC822 items of RFC 3501
// are FetchBody with their own label.
const (
	FetchFlags FetchKind = iota
	FetchUID
	FetchEnvelope
	FetchInternalDate
	FetchSize
	FetchBodyStructure
	FetchBodyShort // BODY without a section
	FetchModSeq
	FetchSaveDate
	FetchBody       // BODY[…], BODY.PEEK[…]
	FetchBinary     // BINARY[…], BINARY.PEEK[…]
	FetchBinarySize // BINARY.SIZE[…]
)

// A FetchItem is one data item.
type FetchItem struct {
	Kind    FetchKind
	Label   string // what the response calls it, with section and origin: BODY[1.TEXT]<0>
	Section Section
	Peek    bool // does not set \Seen
	Partial bool // <Offset.Count> was given
	Offset  uint32
	Count   uint32
}

// A SectionKind is the last word of a section.
type SectionKind uint8

// The kinds of section-text.
const (
	SectionAll SectionKind = iota
	SectionHeader
	SectionFields    // HEADER.FIELDS
	SectionFieldsNot // HEADER.FIELDS.NOT
	SectionText
	SectionMIME
)

// A Section names a part of a message (RFC 9051 section 6.4.5.1). Without Part it is the message.
type Section struct {
	Part   []int
	Kind   SectionKind
	Fields []string // as written
}

func (s *scanner) fetch() *Fetch {
	args := &Fetch{}
	s.space()
	args.Set = s.set()
	s.space()
	if s.peek() == '(' {
		s.list(func() { s.fetchItem(args) })
	} else {
		s.fetchItem(args)
	}
	if s.err == nil && len(args.Items) == 0 {
		s.fail("FETCH needs a data item")
	}
	if s.accept(' ') {
		s.list(func() {
			if !s.acceptWord("CHANGEDSINCE") {
				s.fail("the only modifier of FETCH is CHANGEDSINCE")
			}
			s.space()
			args.Conditional, args.ChangedSince = true, s.number64()
		})
	}
	return args
}

func (s *scanner) fetchItem(args *Fetch) {
	if len(args.Items) >= MaxFetchItems {
		s.fail("too many data items")
		return
	}
	name := s.word()
	if items, ok := fetchMacros[name]; ok {
		args.Items = append(args.Items, items...)
		return
	}
	if item, ok := fetchPlain[name]; ok && (name != "BODY" || s.peek() != '[') {
		args.Items = append(args.Items, item)
		return
	}
	item, ok := fetchSections[name]
	if !ok {
		s.fail("unknown data item")
		return
	}
	s.section(&item, name)
	if s.accept('<') {
		s.partial(&item)
	}
	args.Items = append(args.Items, item)
}

var fetchPlain = map[string]FetchItem{
	"FLAGS":         {Kind: FetchFlags, Label: "FLAGS"},
	"UID":           {Kind: FetchUID, Label: "UID"},
	"ENVELOPE":      {Kind: FetchEnvelope, Label: "ENVELOPE"},
	"INTERNALDATE":  {Kind: FetchInternalDate, Label: "INTERNALDATE"},
	"RFC822.SIZE":   {Kind: FetchSize, Label: "RFC822.SIZE"},
	"BODYSTRUCTURE": {Kind: FetchBodyStructure, Label: "BODYSTRUCTURE"},
	"BODY":          {Kind: FetchBodyShort, Label: "BODY"},
	"MODSEQ":        {Kind: FetchModSeq, Label: "MODSEQ"},
	"SAVEDATE":      {Kind: FetchSaveDate, Label: "SAVEDATE"},
	"RFC822":        {Kind: FetchBody, Label: "RFC822"},
	"RFC822.HEADER": {Kind: FetchBody, Label: "RFC822.HEADER", Peek: true, Section: Section{Kind: SectionHeader}},
	"RFC822.TEXT":   {Kind: FetchBody, Label: "RFC822.TEXT", Section: Section{Kind: SectionText}},
}

var fetchMacros = map[string][]FetchItem{
	"FAST": {fetchPlain["FLAGS"], fetchPlain["INTERNALDATE"], fetchPlain["RFC822.SIZE"]},
	"ALL":  {fetchPlain["FLAGS"], fetchPlain["INTERNALDATE"], fetchPlain["RFC822.SIZE"], fetchPlain["ENVELOPE"]},
	"FULL": {fetchPlain["FLAGS"], fetchPlain["INTERNALDATE"], fetchPlain["RFC822.SIZE"], fetchPlain["ENVELOPE"],
		fetchPlain["BODY"]},
}

var fetchSections = map[string]FetchItem{
	"BODY":        {Kind: FetchBody, Label: "BODY"},
	"BODY.PEEK":   {Kind: FetchBody, Label: "BODY", Peek: true},
	"BINARY":      {Kind: FetchBinary, Label: "BINARY"},
	"BINARY.PEEK": {Kind: FetchBinary, Label: "BINARY", Peek: true},
	"BINARY.SIZE": {Kind: FetchBinarySize, Label: "BINARY.SIZE", Peek: true},
}

// section parses "[" section-spec "]" and completes the label.
func (s *scanner) section(item *FetchItem, name string) {
	s.expect('[')
	sec := &item.Section
	more := s.sectionPart(sec)
	if more && s.peek() != ']' {
		if item.Kind != FetchBody {
			s.fail(name + " takes part numbers only")
			return
		}
		s.sectionText(sec)
	}
	s.expect(']')
	item.Label = string(appendSection([]byte(item.Label), *sec))
}

// sectionPart parses part numbers. It tells whether a section-text may follow.
func (s *scanner) sectionPart(sec *Section) bool {
	for c := s.peek(); c >= '1' && c <= '9'; c = s.peek() {
		if len(sec.Part) == MaxSections {
			s.fail("too many part numbers")
			return false
		}
		n := s.number()
		sec.Part = append(sec.Part, int(min(n, 1<<31-1)))
		if !s.accept('.') {
			return false
		}
		if s.peek() == ']' {
			s.fail("a section may not end in a dot")
		}
	}
	return true
}

func (s *scanner) sectionText(sec *Section) {
	switch word := s.word(); word {
	case "HEADER":
		sec.Kind = SectionHeader
	case "HEADER.FIELDS", "HEADER.FIELDS.NOT":
		sec.Kind = SectionFields
		if word == "HEADER.FIELDS.NOT" {
			sec.Kind = SectionFieldsNot
		}
		s.space()
		s.list(func() { sec.Fields = append(sec.Fields, s.astring()) })
		if len(sec.Fields) == 0 {
			s.fail(word + " needs the name of a field")
		}
	case "TEXT":
		sec.Kind = SectionText
	case "MIME":
		sec.Kind = SectionMIME
		if len(sec.Part) == 0 {
			s.fail("MIME needs a part number")
		}
	default:
		s.fail("unknown section")
	}
}

// partial parses offset "." count ">".
func (s *scanner) partial(item *FetchItem) {
	item.Partial = true
	item.Offset = s.number()
	s.expect('.')
	item.Count = s.number()
	s.expect('>')
	if item.Kind == FetchBinarySize {
		s.fail("BINARY.SIZE takes no partial")
	}
	if s.err == nil && item.Count == 0 {
		s.fail("a partial is 1 byte at least")
	}
	item.Label += "<" + strconv.FormatUint(uint64(item.Offset), 10) + ">"
}

func appendSection(dst []byte, sec Section) []byte {
	dst = append(dst, '[')
	for i, n := range sec.Part {
		if i > 0 {
			dst = append(dst, '.')
		}
		dst = strconv.AppendInt(dst, int64(n), 10)
	}
	if len(sec.Part) > 0 && sec.Kind != SectionAll {
		dst = append(dst, '.')
	}
	switch sec.Kind {
	case SectionHeader:
		dst = append(dst, "HEADER"...)
	case SectionText:
		dst = append(dst, "TEXT"...)
	case SectionMIME:
		dst = append(dst, "MIME"...)
	case SectionFields, SectionFieldsNot:
		dst = append(dst, "HEADER.FIELDS"...)
		if sec.Kind == SectionFieldsNot {
			dst = append(dst, ".NOT"...)
		}
		dst = append(dst, " ("...)
		for i, name := range sec.Fields {
			if i > 0 {
				dst = append(dst, ' ')
			}
			dst = AppendAstring(dst, strings.ToUpper(name))
		}
		dst = append(dst, ')')
	}
	return append(dst, ']')
}
