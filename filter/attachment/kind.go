package attachment

import (
	"bytes"
	"encoding/binary"
)

// A kind is what a file is by its first bytes.
type kind uint8

const (
	unknown kind = iota
	windowsProgram
	elfProgram
	macProgram
	javaClass
	shortcut
	diskImage
	oneNote
	help
	shellScript // begins with #!
	zipFile
	gzipFile
	bzip2File
	zstdFile
	tarFile
	compound // OLE2: old Office, MSI, Outlook
	pdfFile
	rtfFile
	htmlFile
	otherArchive // rar, 7z, xz, cab …: see opaqueName
	image
	sound
)

// programs says what is a program, in words.
func (k kind) program() string {
	switch k {
	case windowsProgram:
		return "is a program for Windows"
	case elfProgram:
		return "is a program for Linux"
	case macProgram:
		return "is a program for macOS"
	case javaClass:
		return "is a program for Java"
	case shortcut:
		return "is a shortcut, which starts programs"
	case diskImage:
		return "is the image of a disk, which hides where files came from"
	case oneNote:
		return "is a section of OneNote, which may start what is within"
	case help:
		return "is a help file, which may run scripts"
	}
	return ""
}

// opens tells whether we look into a file of this kind, and so need all of it.
func (k kind) opens() bool {
	switch k {
	case zipFile, gzipFile, bzip2File, zstdFile, tarFile, compound, pdfFile, rtfFile, htmlFile, otherArchive:
		return true
	}
	return false
}

// magics are first bytes that tell by themselves.
var magics = [...]struct {
	bytes string
	kind  kind
}{
	{"\x7fELF", elfProgram},
	{"\xfe\xed\xfa\xce", macProgram}, {"\xfe\xed\xfa\xcf", macProgram}, {"\xce\xfa\xed\xfe", macProgram}, {"\xcf\xfa\xed\xfe", macProgram},
	{"L\x00\x00\x00\x01\x14\x02\x00\x00\x00\x00\x00\xc0\x00\x00\x00\x00\x00\x00F", shortcut},
	{"conectix", diskImage}, {"vhdxfile", diskImage}, {"MSWIM\x00\x00\x00", diskImage},
	{"\xe4\x52\x5c\x7b\x8c\xd8\xa7\x4d\xae\xb1\x53\x78\xd0\x29\x96\xd3", oneNote},
	{"ITSF\x03\x00\x00\x00", help},
	{"#!", shellScript},
	{"PK\x03\x04", zipFile}, {"PK\x05\x06", zipFile}, {"PK\x07\x08PK\x03\x04", zipFile}, {"PK00PK\x03\x04", zipFile},
	{"\x1f\x8b\x08", gzipFile}, {"BZh", bzip2File}, {"\x28\xb5\x2f\xfd", zstdFile},
	{"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", compound},
	{"{\\rt", rtfFile},
	{"\x89PNG\r\n\x1a\n", image}, {"\xff\xd8\xff", image}, {"GIF8", image}, {"II*\x00", image}, {"MM\x00*", image},
	{"ID3", sound}, {"OggS", sound}, {"fLaC", sound},
}

// opaques are archives that are told by name.
var opaques = [...]struct {
	at          int
	bytes, name string
}{
	{0, "Rar!\x1a\x07", "RAR"}, {0, "7z\xbc\xaf\x27\x1c", "7-Zip"}, {0, "\xfd7zXZ\x00", "xz"}, {0, "MSCF\x00\x00\x00\x00", "CAB"},
	{7, "**ACE**", "ACE"}, {2, "-lh", "LHA"}, {0, "\x60\xea", "ARJ"}, {0, "LZIP", "lzip"}, {0, "\x1f\x9d", "compress"},
	{0, "\x78\x9f\x3e\x22", "TNEF"}, {0, "xar!", "XAR"}, {0, "ALZ\x01", "ALZ"}, {0, "EGGA", "EGG"}, {0, "!<arch>\n", "ar"},
}

// opaqueName returns the format of an archive that is not looked into.
func opaqueName(data []byte) string {
	for _, o := range opaques {
		if len(data) > o.at && bytes.HasPrefix(data[o.at:], []byte(o.bytes)) {
			return o.name
		}
	}
	return ""
}

// Where formats have their marks.
const (
	pdfWithin = 1024  // readers take a PDF that begins so far within
	isoMark   = 32769 // of ISO 9660
	tarMark   = 257
	htmlHead  = 1024
)

// sniff tells what data is, of which the begin is enough. The name decides where bytes do not: text.
func sniff(data []byte, name string) kind {
	for _, m := range magics {
		if bytes.HasPrefix(data, []byte(m.bytes)) {
			return m.kind
		}
	}
	switch {
	case isWindowsProgram(data):
		return windowsProgram
	case bytes.HasPrefix(data, []byte("\xca\xfe\xba\xbe")) && len(data) >= 8:
		if n := binary.BigEndian.Uint32(data[4:]); n > 0 && n < 40 { // so many architectures; Java counts from 45
			return macProgram
		}
		return javaClass
	case len(data) > isoMark+5 && string(data[isoMark:isoMark+5]) == "CD001":
		return diskImage
	case len(data) > tarMark+5 && string(data[tarMark:tarMark+5]) == "ustar":
		return tarFile
	case opaqueName(data) != "":
		return otherArchive
	case bytes.Contains(data[:min(len(data), pdfWithin)], []byte("%PDF-")):
		return pdfFile
	case isHTML(data, name):
		return htmlFile
	}
	return unknown
}

// isWindowsProgram tells whether data begins as a program of DOS or Windows: "MZ" alone is also how a text
// may begin.
func isWindowsProgram(data []byte) bool {
	if len(data) < 2 || string(data[:2]) != "MZ" && string(data[:2]) != "ZM" {
		return false
	}
	if len(data) >= 64 {
		if at := binary.LittleEndian.Uint32(data[60:]); int64(at)+2 <= int64(len(data)) && (string(data[at:at+2]) == "PE" || string(data[at:at+2]) == "NE" || string(data[at:at+2]) == "LE") {
			return true
		}
	}
	return bytes.IndexByte(data[:min(len(data), 512)], 0) >= 0
}

// isHTML tells whether a browser would show data as HTML or SVG.
func isHTML(data []byte, name string) bool {
	switch extension(name) {
	case "htm", "html", "shtml", "xhtml", "xht", "svg", "mht", "mhtml":
		return true
	}
	head := bytes.ToLower(bytes.TrimLeft(bytes.TrimPrefix(data[:min(len(data), htmlHead)], []byte("\xef\xbb\xbf")), " \t\r\n"))
	for _, begin := range [...]string{"<!doctype html", "<html", "<head", "<body", "<script", "<svg", "<meta", "<iframe", "<form"} {
		if bytes.HasPrefix(head, []byte(begin)) {
			return true
		}
	}
	return false
}
