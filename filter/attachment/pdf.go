package attachment

import (
	"bufio"
	"bytes"
	"compress/zlib"
)

// Bounds on PDF.
const (
	maxPDFName = 40      // bytes of a name that is read
	maxObjects = 1 << 20 // bytes that are unpacked of one object stream
	streamNear = 4096    // bytes after the name ObjStm within which its stream begins
)

// pdf looks for names of actions in a PDF, plain and in object streams. It builds no objects, so a name in
// ordinary text counts as well; the names are such that this hardly happens.
func (l *look) pdf(it item) {
	l.pdfNames(it, it.data, true)
}

// pdfNames goes through the names in data. With streams, object streams are unpacked and gone through.
func (l *look) pdfNames(it item, data []byte, streams bool) {
	for {
		i := bytes.IndexByte(data, '/')
		if i < 0 {
			return
		}
		data = data[i+1:]
		if len(data) == 0 || bytes.IndexByte([]byte("JLERO#"), data[0]) < 0 {
			continue // most names are others
		}
		switch string(pdfName(data)) {
		case "JavaScript":
			l.add(pdfScript, it.at(), "has scripts")
		case "Launch":
			l.add(pdfLaunch, it.at(), "wants to start a program")
		case "EmbeddedFile", "EmbeddedFiles", "RichMedia":
			l.add(pdfEmbedded, it.at(), "has another file within")
		case "Encrypt":
			l.add(pdfLocked, it.at(), "is encrypted")
		case "ObjStm":
			if streams && !l.objects(it, data) {
				l.add(limit, it.at(), "has more within than is looked into")
				streams = false
			}
		}
	}
}

// pdfName reads a name after its slash and undoes #xx (ISO 32000-1 section 7.3.5).
func pdfName(data []byte) []byte {
	data = data[:min(len(data), maxPDFName)]
	end := bytes.IndexAny(data, "\x00\t\n\f\r ()<>[]{}/%")
	if end < 0 {
		end = len(data)
	}
	name := data[:end]
	if bytes.IndexByte(name, '#') < 0 {
		return name
	}
	out := make([]byte, 0, len(name))
	for i := 0; i < len(name); i++ {
		if name[i] == '#' && i+2 < len(name) {
			if hi, lo := unhex(name[i+1]), unhex(name[i+2]); hi < 16 && lo < 16 {
				out = append(out, hi<<4|lo)
				i += 2
				continue
			}
		}
		out = append(out, name[i])
	}
	return out
}

func unhex(c byte) byte {
	switch {
	case c >= '0' && c <= '9':
		return c - '0'
	case c|0x20 >= 'a' && c|0x20 <= 'f':
		return c | 0x20 - 'a' + 10
	}
	return 0xff
}

// objects unpacks the object stream whose dictionary data is within. It returns false when bounds are
// reached.
func (l *look) objects(it item, data []byte) bool {
	i := bytes.Index(data[:min(len(data), streamNear)], []byte("stream"))
	if l.spend(streamNear) != nil { // or a PDF of nothing but such names costs the square of its size
		return false
	}
	if i < 0 {
		return true
	}
	packed := bytes.TrimLeft(data[i+len("stream"):min(len(data), i+len("stream")+2)], "\r\n")
	from := i + len("stream") + 2 - len(packed)
	if from > len(data) {
		return true
	}
	z, err := zlib.NewReader(bytes.NewReader(data[from:]))
	if err != nil {
		return true // another filter, or none: then its names are plain
	}
	plain, _, err := l.unpacked(bufio.NewReader(z), maxObjects)
	l.pdfNames(it, plain, false)
	return err == nil
}
