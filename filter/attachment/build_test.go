package attachment

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"io"
	"strings"
	"testing"
	"unicode/utf16"

	"posthaste/filter"
	"posthaste/mail"
	"posthaste/message"
)

// A file is what a test attaches.
type file struct{ name, kind, content string }

// letter attaches files to a message.
func letter(files ...file) *filter.Mail {
	var b strings.Builder
	b.WriteString("From: ann@example.org\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=\"=b\"\r\n\r\n--=b\r\n\r\nhello\r\n")
	for _, f := range files {
		kind := f.kind
		if kind == "" {
			kind = "application/octet-stream"
		}
		fmt.Fprintf(&b, "--=b\r\nContent-Type: %s\r\nContent-Disposition: attachment; filename*=utf-8''%s\r\nContent-Transfer-Encoding: base64\r\n\r\n", kind, percent(f.name))
		text := base64.StdEncoding.EncodeToString([]byte(f.content))
		for len(text) > 76 {
			b.WriteString(text[:76] + "\r\n")
			text = text[76:]
		}
		b.WriteString(text + "\r\n")
	}
	b.WriteString("--=b--\r\n")
	return parsed(b.String())
}

func parsed(content string) *filter.Mail {
	return &filter.Mail{Envelope: &mail.Envelope{}, Content: []byte(content), Message: message.Parse([]byte(content))}
}

func percent(s string) string {
	var b strings.Builder
	for _, c := range []byte(s) {
		fmt.Fprintf(&b, "%%%02X", c)
	}
	return b.String()
}

// zipped makes an archive of name, content, name, content …
func zipped(pairs ...string) string {
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for i := 0; i < len(pairs); i += 2 {
		w, err := z.Create(pairs[i])
		if err != nil {
			panic(err)
		}
		io.WriteString(w, pairs[i+1])
	}
	z.Close()
	return b.String()
}

// lockedZip is an archive whose entries say that they are encrypted.
func lockedZip(pairs ...string) string {
	b := []byte(zipped(pairs...))
	for i := 0; i+10 < len(b); i++ {
		switch string(b[i : i+4]) {
		case "PK\x01\x02":
			b[i+8] |= 1
		case "PK\x03\x04":
			b[i+6] |= 1
		}
	}
	return string(b)
}

func gzipped(s string) string {
	var b bytes.Buffer
	z, _ := gzip.NewWriterLevel(&b, gzip.BestCompression)
	io.WriteString(z, s)
	z.Close()
	return b.String()
}

func deflated(s string) string {
	var b bytes.Buffer
	z := zlib.NewWriter(&b)
	io.WriteString(z, s)
	z.Close()
	return b.String()
}

func tarred(pairs ...string) string {
	var b bytes.Buffer
	t := tar.NewWriter(&b)
	for i := 0; i < len(pairs); i += 2 {
		t.WriteHeader(&tar.Header{Name: pairs[i], Mode: 0o644, Size: int64(len(pairs[i+1]))})
		io.WriteString(t, pairs[i+1])
	}
	t.Close()
	return b.String()
}

// exe begins as a program for Windows.
var exe = "MZ" + strings.Repeat("\x00", 58) + "\x40\x00\x00\x00PE\x00\x00" + strings.Repeat("\x00", 200)

// A part of a compound file.
type cfbPart struct {
	name  string
	kind  byte
	class string
	data  string
}

// compounded makes an OLE2 file of 512-byte sectors without small streams: directory, allocation table and
// streams, one after the other.
func compounded(rootClass string, parts ...cfbPart) string {
	all := append([]cfbPart{{"Root Entry", 5, rootClass, ""}}, parts...)
	for len(all)%4 != 0 {
		all = append(all, cfbPart{})
	}
	dirSectors := len(all) / 4
	fat := make([]uint32, 128)
	for i := range fat {
		fat[i] = 0xffffffff
	}
	chain := func(from, n int) {
		for i := range n {
			fat[from+i] = uint32(from + i + 1)
		}
		fat[from+n-1] = 0xfffffffe
	}
	chain(0, dirSectors)
	fat[dirSectors] = 0xfffffffd
	next := dirSectors + 1
	var dir, body []byte
	for _, p := range all {
		e := make([]byte, cfbEntry)
		name := utf16.Encode([]rune(p.name))
		for i, u := range name {
			binary.LittleEndian.PutUint16(e[2*i:], u)
		}
		if p.kind != 0 {
			binary.LittleEndian.PutUint16(e[64:], uint16(2*len(name)+2))
		}
		e[66] = p.kind
		copy(e[80:96], p.class)
		binary.LittleEndian.PutUint32(e[116:], 0xfffffffe)
		if p.data != "" {
			n := (len(p.data) + 511) / 512
			binary.LittleEndian.PutUint32(e[116:], uint32(next))
			chain(next, n)
			next += n
			body = append(body, p.data...)
			body = append(body, make([]byte, n*512-len(p.data))...)
		}
		binary.LittleEndian.PutUint64(e[120:], uint64(len(p.data)))
		dir = append(dir, e...)
	}
	head := make([]byte, cfbHeader)
	copy(head, "\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1")
	binary.LittleEndian.PutUint16(head[30:], 9)
	binary.LittleEndian.PutUint32(head[44:], 1)
	binary.LittleEndian.PutUint32(head[48:], 0)
	binary.LittleEndian.PutUint32(head[56:], 0) // no stream is small
	binary.LittleEndian.PutUint32(head[60:], 0xfffffffe)
	binary.LittleEndian.PutUint32(head[68:], 0xfffffffe)
	for i := 76; i < cfbHeader; i += 4 {
		binary.LittleEndian.PutUint32(head[i:], 0xffffffff)
	}
	binary.LittleEndian.PutUint32(head[76:], uint32(dirSectors))
	var table []byte
	for _, v := range fat {
		table = binary.LittleEndian.AppendUint32(table, v)
	}
	return string(head) + string(dir) + string(table) + string(body)
}

// record is one of a workbook.
func record(kind uint16, data string) string {
	b := binary.LittleEndian.AppendUint16(nil, kind)
	return string(binary.LittleEndian.AppendUint16(b, uint16(len(data)))) + data
}

// native is an OLE package with a file.
func native(name, content string) string {
	var b []byte
	b = binary.LittleEndian.AppendUint32(b, uint32(len(content)))
	b = append(b, 2, 0)
	b = append(b, name+"\x00C:\\x\\"+name+"\x00\x00\x00\x03\x00"...)
	b = binary.LittleEndian.AppendUint32(b, 4)
	b = append(b, "C:\\\x00"...)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(content)))
	return string(b) + content
}

// rules scans m and returns the names of what was found.
func rules(t testing.TB, p *Policy, m *filter.Mail) (string, filter.Result) {
	t.Helper()
	r, err := p.Scan(t.Context(), m)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range r.Findings {
		names = append(names, f.Rule)
	}
	return strings.Join(names, " "), r
}
