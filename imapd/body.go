package imapd

import (
	"bytes"
	"errors"
	"strconv"

	"posthaste/imap"
	"posthaste/message"
)

// A body is the content of one message while FETCH prints it, parsed once when an item needs that.
type body struct {
	content []byte
	message *message.Message
}

func newBody(content []byte) *body { return &body{content: content} }

func (b *body) parsed() *message.Message {
	if b.message == nil {
		b.message = message.Parse(b.content)
	}
	return b.message
}

// item prints the value of a BODY[…], BINARY[…] or BINARY.SIZE[…] item up to the bytes of its literal,
// which it returns as data. A part that the message does not have is NIL.
func (b *body) item(out []byte, item *imap.FetchItem) (_, data []byte, err error) {
	var ok bool
	if item.Kind == imap.FetchBody {
		data, ok = b.section(&item.Section)
	} else {
		data, ok, err = b.decoded(item.Section.Part)
	}
	switch {
	case !ok:
		return append(out, "NIL"...), nil, err
	case item.Kind == imap.FetchBinarySize:
		return strconv.AppendInt(out, int64(len(data)), 10), nil, nil
	}
	data = cut(data, item)
	if item.Kind == imap.FetchBinary && bytes.IndexByte(data, 0) >= 0 { // RFC 3516 section 4.2: literal8
		out = append(out, '~')
	}
	return imap.AppendLiteralSize(out, len(data)), data, nil
}

// cut returns the part of data that <offset.count> names.
func cut(data []byte, item *imap.FetchItem) []byte {
	if !item.Partial {
		return data
	}
	from := min(int64(item.Offset), int64(len(data)))
	to := min(from+int64(item.Count), int64(len(data)))
	return data[from:to]
}

// section returns the bytes that sec names (RFC 9051 section 6.4.5.1). Only part numbers make it parse
// the body.
func (b *body) section(sec *imap.Section) ([]byte, bool) {
	if len(sec.Part) == 0 {
		return b.whole(sec), true
	}
	part := locate(b.parsed().Root, sec.Part)
	if part == nil {
		return nil, false
	}
	switch sec.Kind {
	case imap.SectionAll:
		return part.Body(), true
	case imap.SectionMIME:
		return part.Header.Raw(), true
	}
	if part.Message == nil { // HEADER and TEXT are for enclosed messages
		return nil, false
	}
	part = part.Message.Root
	switch sec.Kind {
	case imap.SectionHeader:
		return part.Header.Raw(), true
	case imap.SectionText:
		return part.Body(), true
	}
	return fields(part.Header, sec.Fields, sec.Kind == imap.SectionFields), true
}

// whole returns a section of the message itself.
func (b *body) whole(sec *imap.Section) []byte {
	if sec.Kind == imap.SectionAll {
		return b.content
	}
	header := b.header()
	switch sec.Kind {
	case imap.SectionHeader:
		return header.Raw()
	case imap.SectionText:
		return b.content[len(header.Raw()):]
	}
	return fields(header, sec.Fields, sec.Kind == imap.SectionFields)
}

func (b *body) header() message.Header {
	if b.message != nil {
		return b.message.Header
	}
	return message.ParseHeader(b.content)
}

// locate returns the part that path names from root, the root of a message. Part 1 of what is no
// multipart is its body.
func locate(root *message.Part, path []int) *message.Part {
	part, isRoot := root, true
	for _, n := range path {
		if !isRoot && part.Message != nil {
			part, isRoot = part.Message.Root, true
		}
		switch {
		case part.IsMultipart():
			if n > len(part.Children) {
				return nil
			}
			part = part.Children[n-1]
		case !isRoot || n != 1:
			return nil
		}
		isRoot = false
	}
	return part
}

// fields returns the fields of h that are among names, or with wanted false all others, and the empty
// line at the end.
func fields(h message.Header, names []string, wanted bool) []byte {
	var out []byte
	for _, field := range h.Fields() {
		named := false
		for _, name := range names {
			named = named || field.Is(name)
		}
		if named == wanted {
			out = append(out, field.Raw()...)
		}
	}
	return append(out, "\r\n"...)
}

// decoded returns the body of a part without its transfer encoding; the message itself has none.
func (b *body) decoded(path []int) (data []byte, ok bool, err error) {
	if len(path) == 0 {
		return b.content, true, nil
	}
	part := locate(b.parsed().Root, path)
	if part == nil {
		return nil, false, nil
	}
	if part.IsMultipart() || part.Message != nil {
		return part.Body(), true, nil
	}
	data, err = part.Decode(nil)
	if errors.Is(err, message.ErrEncoding) {
		return nil, false, no("UNKNOWN-CTE", "a part has a transfer encoding that is not known")
	}
	return data, err == nil, err
}
