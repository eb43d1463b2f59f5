package attachment

import (
	"bytes"
	"encoding/binary"
	"io"
	"strings"
)

// Bounds on Office documents.
const (
	maxStream  = 1 << 20 // bytes of a stream that are read
	maxStreams = 32      // that are read of one file
	maxRels    = 256 << 10
)

// compound judges an OLE2 file by the names and classes in its directory, and the begin of some streams.
func (l *look) compound(it item) {
	c, err := parseCompound(it.data)
	if err != nil {
		l.add(broken, it.at(), err.Error())
		return
	}
	streams := 0
	for i := range c.entries {
		f := &c.entries[i]
		switch {
		case f.is(classEquation) || strings.EqualFold(f.name, "Equation Native"):
			l.add(exploit, it.at(), "has an equation of the old editor")
		case f.kind == 5 && (f.is(classMSI) || f.is(classPatch)):
			if !l.allow[extension(it.name)] {
				l.add(executable, it.at(), "installs programs")
			}
		case f.kind == 1 && strings.EqualFold(f.name, "VBA"), f.kind == 2 && strings.EqualFold(f.name, "_VBA_PROJECT"):
			l.add(macro, it.at(), "has macros")
		case f.kind == 2 && (f.name == "EncryptedPackage" || f.name == "EncryptedSummary"):
			l.add(lockedOffice, it.at(), "is encrypted")
		case f.kind == 2 && streams < maxStreams && wanted(f.name):
			streams++
			data := c.stream(f, maxStream)
			if l.spend(len(data)) != nil {
				l.add(limit, it.at(), "has more within than is looked into")
				return
			}
			l.officeStream(it, f.name, data)
		}
	}
}

// wanted tells whether a stream is worth reading.
func wanted(name string) bool {
	switch name {
	case "Workbook", "Book", "WordDocument", "\x01Ole10Native":
		return true
	}
	return false
}

// officeStream judges the begin of a stream.
func (l *look) officeStream(it item, name string, data []byte) {
	switch name {
	case "WordDocument":
		if len(data) > 12 && data[11]&1 != 0 { // fEncrypted of [MS-DOC] section 2.5.2
			l.add(lockedOffice, it.at(), "is encrypted")
		}
	case "\x01Ole10Native":
		l.add(oleObject, it.at(), "has a file within")
		l.native(it, data)
	default:
		l.workbook(it, data)
	}
}

// workbook reads the records of [MS-XLS]: two bytes of type, two of length.
func (l *look) workbook(it item, data []byte) {
	const boundSheet, filePass = 0x85, 0x2f
	for len(data) >= 4 {
		kind, n := u16(data, 0), int(u16(data, 2))
		if n > len(data)-4 {
			return
		}
		switch {
		case kind == filePass:
			l.add(lockedOffice, it.at(), "is encrypted")
			return
		case kind == boundSheet && n >= 6 && data[4+5] == 1:
			l.add(macroSheet, it.at(), "has a sheet of macros")
		}
		data = data[4+n:]
	}
}

// native judges the file in an OLE package: a size, flags, its name and its paths, and its bytes.
func (l *look) native(it item, data []byte) {
	if len(data) < 6 || it.depth >= l.depth {
		return
	}
	label, rest, ok := bytes.Cut(data[6:], []byte{0})
	if !ok || len(label) > maxName {
		return
	}
	inner := item{name: base(string(label)), path: it.at(), depth: it.depth + 1}
	if _, rest, ok = bytes.Cut(rest, []byte{0}); ok && len(rest) > 8 {
		if n := uint64(binary.LittleEndian.Uint32(rest[4:])); n < uint64(len(rest)-8) { // a path of that length
			if rest = rest[8+n:]; len(rest) > 4 {
				inner.data = rest[4:]
				inner.whole = true
			}
		}
	}
	l.item(inner)
}

// office judges a ZIP archive that is a document, and tells whether it is one.
func (l *look) office(it item, entries []zipEntry) bool {
	ooxml, odf := false, false
	for i := range entries {
		ooxml = ooxml || entries[i].name == "[Content_Types].xml"
		if i == 0 && entries[i].name == "mimetype" {
			kind := l.small(it, &entries[i], 100)
			odf = bytes.HasPrefix(kind, []byte("application/vnd.oasis.opendocument")) || bytes.HasPrefix(kind, []byte("application/epub+zip"))
		}
	}
	if !ooxml && !odf {
		l.java(it, entries)
		return false
	}
	for i := range entries {
		e := &entries[i]
		name := strings.ToLower(e.name)
		switch {
		case strings.HasSuffix(name, "vbaproject.bin"), odf && (strings.HasPrefix(name, "basic/") || strings.HasPrefix(name, "scripts/")) && !strings.HasSuffix(name, "/"):
			l.add(macro, it.at(), "has macros")
		case strings.Contains(name, "/macrosheets/"):
			l.add(macroSheet, it.at(), "has a sheet of macros")
		case ooxml && strings.HasSuffix(name, ".rels"):
			if loadsElsewhere(l.small(it, e, maxRels)) {
				l.add(remoteTemplate, it.at(), "loads a template or an object from elsewhere")
			}
		case odf && name == "meta-inf/manifest.xml":
			if bytes.Contains(l.small(it, e, maxRels), []byte("encryption-data")) {
				l.add(lockedOffice, it.at(), "is encrypted")
			}
		}
	}
	return true
}

// officeContent tells whether an entry of a document may hold a file of its own.
func officeContent(name string) bool {
	name = strings.ToLower(name)
	return strings.Contains(name, "embeddings/") || strings.Contains(name, "activex/") || strings.HasPrefix(name, "object")
}

// java judges archives that are programs: of Java and Android.
func (l *look) java(it item, entries []zipEntry) {
	manifest, class, android := false, false, false
	for i := range entries {
		name := entries[i].name
		manifest = manifest || name == "META-INF/MANIFEST.MF"
		class = class || strings.HasSuffix(name, ".class") || name == "classes.dex"
		android = android || name == "AndroidManifest.xml"
	}
	if (manifest || android) && class && !l.allow[extension(it.name)] {
		l.add(executable, it.at(), "is a program for Java or Android")
	}
}

// small unpacks the begin of an entry.
func (l *look) small(it item, e *zipEntry, max int64) []byte {
	r, ok := l.zipContent(it.data, e)
	if !ok || e.encrypted || l.left < 0 {
		return nil
	}
	data, _ := io.ReadAll(io.LimitReader(r, max)) // of what is damaged, what came before
	l.release(r)
	if l.spend(len(data)) != nil {
		return nil
	}
	return data
}

// loadsElsewhere tells whether the relationships of an OOXML part load a template, an object or a frame from
// another host when the document is opened. Links that wait for a click do not count.
func loadsElsewhere(rels []byte) bool {
	for tag := range bytes.SplitSeq(rels, []byte("<")) {
		if !bytes.HasPrefix(tag, []byte("Relationship ")) || !bytes.Contains(tag, []byte(`TargetMode="External"`)) {
			continue
		}
		for _, kind := range [...]string{"/attachedTemplate\"", "/oleObject\"", "/frame\"", "/subDocument\""} {
			if bytes.Contains(tag, []byte(kind)) && isElsewhere(tag) {
				return true
			}
		}
	}
	return false
}

// isElsewhere tells whether the target of a relationship is at another host.
func isElsewhere(tag []byte) bool {
	_, target, _ := bytes.Cut(tag, []byte(` Target="`))
	for _, begin := range [...]string{"http:", "https:", `\\`, "mhtml:", "ftp:", `file://\\`} {
		if len(target) >= len(begin) && strings.EqualFold(string(target[:len(begin)]), begin) {
			return true
		}
	}
	return false
}

// rtf looks for objects and templates in RTF, which is text.
func (l *look) rtf(it item) {
	data := it.data
	if bytes.Contains(data, []byte(`\objdata`)) || bytes.Contains(data, []byte(`\objocx`)) {
		l.add(oleObject, it.at(), "has an object within")
		if bytes.Contains(data, []byte(`\objupdate`)) {
			l.add(remoteTemplate, it.at(), "runs an object when it is opened")
		}
	}
	if _, rest, ok := bytes.Cut(data, []byte(`{\*\template`)); ok {
		target := bytes.TrimLeft(rest[:min(len(rest), 300)], " \r\n")
		if bytes.HasPrefix(target, []byte("http")) || bytes.HasPrefix(target, []byte(`\\`)) {
			l.add(remoteTemplate, it.at(), "loads a template from elsewhere")
		}
	}
}
