package attachment

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"strings"
	"testing"

	"posthaste/mail"
)

func TestWhatIsFound(t *testing.T) {
	docx := func(more ...string) string {
		return zipped(append([]string{"[Content_Types].xml", "<Types/>", "word/document.xml", "<w/>"}, more...)...)
	}
	rels := func(kind, mode, target string) string {
		return `<Relationships><Relationship Id="1" Type="http://schemas.openxmlformats.org/x/` + kind + `" Target="` + target + `" TargetMode="` + mode + `"/></Relationships>`
	}
	many := []string{}
	for range 30 {
		many = append(many, strings.Repeat("d/", len(many))+"a.txt", "text")
	}
	pdf := "%PDF-1.7\n1 0 obj<</Type/Catalog"
	for _, c := range []struct {
		name string
		file file
		want string
	}{
		{"a text", file{name: "a.txt", kind: "text/plain", content: "hello"}, ""},
		{"a PDF", file{name: "a.pdf", kind: "application/pdf", content: pdf + ">>"}, ""},
		{"a photograph", file{name: "a.jpg", kind: "image/jpeg", content: "\xff\xd8\xff\xe0"}, ""},
		{"an invitation", file{name: "invite.ics", kind: "text/calendar", content: "BEGIN:VCALENDAR\r\nATTACH;VALUE=BINARY;ENCODING=BASE64:TVqQ\r\n"}, ""},
		{"a script of Unix", file{name: "build.sh", content: "#!/bin/sh\nmake\n"}, ""},
		{"a patch", file{name: "fix.patch", kind: "text/x-patch", content: "--- a.exe\n+++ b.exe\n"}, ""},
		{"a plain document", file{name: "a.docx", content: docx()}, ""},
		{"a page called by its host", file{name: "www.example.com", kind: "text/html", content: "<html><p>hello"}, ""},
		{"a name in Hebrew with marks", file{name: "\u200fמסמך\u200e.pdf", content: pdf}, ""},
		{"source in an archive", file{name: "site.zip", content: zipped(append(many, "app.js", "x")...)}, "ARCHIVE_SCRIPT"},
		{"an archive of texts", file{name: "a.zip", content: zipped("a.txt", "a", "d/", "", "d/b.txt", "b")}, ""},
		{"a tar of texts", file{name: "a.tar.gz", content: gzipped(tarred("a.txt", "a", "b.c", "int main"))}, ""},

		{"a program", file{name: "setup.exe", content: exe}, "ATTACH_EXECUTABLE"},
		{"a program without a name", file{content: exe}, "ATTACH_EXECUTABLE"},
		{"a program by name alone", file{name: "a.scr", content: "x"}, "ATTACH_EXECUTABLE"},
		{"capitals change nothing", file{name: "A.ExE", content: "x"}, "ATTACH_EXECUTABLE"},
		{"a program for Linux", file{name: "a", content: "\x7fELF\x02"}, "ATTACH_EXECUTABLE"},
		{"a program for macOS", file{name: "a", content: "\xca\xfe\xba\xbe\x00\x00\x00\x02"}, "ATTACH_EXECUTABLE"},
		{"a class of Java", file{name: "A.class", content: "\xca\xfe\xba\xbe\x00\x00\x00\x41"}, "ATTACH_EXECUTABLE"},
		{"a shortcut", file{name: "readme.lnk", content: "L\x00\x00\x00\x01\x14\x02\x00\x00\x00\x00\x00\xc0\x00\x00\x00\x00\x00\x00F"}, "ATTACH_EXECUTABLE"},
		{"an image of a disk under another name", file{name: "a.bin", content: strings.Repeat("\x00", isoMark) + "CD001\x01"}, "ATTACH_EXECUTABLE"},
		{"a virtual disk", file{name: "a.vhdx", content: "vhdxfile"}, "ATTACH_EXECUTABLE"},
		{"a section of OneNote", file{name: "a.one", content: "\xe4\x52\x5c\x7b\x8c\xd8\xa7\x4d\xae\xb1\x53\x78\xd0\x29\x96\xd3"}, "ATTACH_EXECUTABLE"},
		{"a help file", file{name: "a.chm", content: "ITSF\x03\x00\x00\x00"}, "ATTACH_EXECUTABLE"},
		{"an installer", file{name: "a.dat", content: compounded(string(classMSI))}, "ATTACH_EXECUTABLE"},
		{"a program for Java", file{name: "a.zip", content: zipped("META-INF/MANIFEST.MF", "x", "A.class", "x")}, "ATTACH_EXECUTABLE"},
		{"a script", file{name: "a.vbs", content: "x"}, "ATTACH_SCRIPT"},
		{"an application of HTML", file{name: "a.hta", content: "x"}, "ATTACH_SCRIPT"},
		{"two extensions", file{name: "invoice.pdf.exe", content: exe}, "ATTACH_DOUBLE_EXTENSION ATTACH_EXECUTABLE"},
		{"two extensions with spaces between", file{name: "invoice.pdf   .js", content: "x"}, "ATTACH_DOUBLE_EXTENSION ATTACH_SCRIPT"},
		{"spaces push the extension away", file{name: "invoice.pdf" + strings.Repeat(" ", 80) + ".js", content: "x"}, "ATTACH_NAME_TRICK ATTACH_DOUBLE_EXTENSION ATTACH_SCRIPT"},
		{"dots at the end", file{name: "a.exe. .", content: "x"}, "ATTACH_NAME_TRICK ATTACH_EXECUTABLE"},
		{"right to left", file{name: "invoice\u202efdp.exe", content: exe}, "ATTACH_NAME_TRICK ATTACH_EXECUTABLE"},
		{"a character that is not seen", file{name: "a.p\u200bdf", content: pdf}, "ATTACH_NAME_TRICK"},
		{"a program named as a document", file{name: "a.pdf", content: exe}, "ATTACH_EXECUTABLE ATTACH_HIDDEN_EXECUTABLE"},
		{"an archive named as an image", file{name: "a.png", content: zipped("a.txt", "x")}, "ATTACH_TYPE_MISMATCH"},
		{"an archive declared as an image", file{name: "a.dat", kind: "image/png", content: zipped("a.txt", "x")}, "ATTACH_TYPE_MISMATCH"},

		{"a program in an archive", file{name: "a.zip", content: zipped("a.exe", exe)}, "ATTACH_EXECUTABLE"},
		{"a program in archives", file{name: "a.zip", content: zipped("b.zip", zipped("c.tar.gz", gzipped(tarred("d/e.dat", exe))))}, "ATTACH_EXECUTABLE"},
		{"a program packed by itself", file{name: "a.exe.gz", content: gzipped(exe)}, "ATTACH_EXECUTABLE"},
		{"an archive whose directory is lost", file{name: "a.zip", content: zipped("a.exe", exe)[:100]}, "ARCHIVE_BROKEN ATTACH_EXECUTABLE"},
		{"an archive after other bytes", file{name: "a.zip", content: "PK\x07\x08" + zipped("a.exe", exe)}, "ATTACH_EXECUTABLE"},
		{"names of an encrypted archive", file{name: "a.zip", content: lockedZip("a.exe", "x")}, "ARCHIVE_ENCRYPTED ATTACH_EXECUTABLE"},
		{"an encrypted archive", file{name: "a.zip", content: lockedZip("a.txt", "x")}, "ARCHIVE_ENCRYPTED"},
		{"RAR is told", file{name: "a.rar", content: "Rar!\x1a\x07\x01\x00"}, "ARCHIVE_OPAQUE"},
		{"RAR with a password", file{name: "a.rar", content: "Rar!\x1a\x07\x01\x00\x00\x00\x00\x00\x0d\x04"}, "ARCHIVE_OPAQUE ARCHIVE_ENCRYPTED"},
		{"7-Zip is told", file{name: "a.7z", content: "7z\xbc\xaf\x27\x1c"}, "ARCHIVE_OPAQUE"},

		{"macros", file{name: "a.docm", content: docx("word/vbaProject.bin", "x")}, "ATTACH_MACRO"},
		{"macros under a plain name", file{name: "a.docx", content: docx("word/VBAPROJECT.BIN", "x")}, "ATTACH_MACRO"},
		{"macros of Excel 4.0", file{name: "a.xlsm", content: docx("xl/macrosheets/sheet1.xml", "x")}, "ATTACH_MACRO_SHEET"},
		{"macros of LibreOffice", file{name: "a.odt", content: zipped("mimetype", "application/vnd.oasis.opendocument.text", "Basic/script-lc.xml", "x")}, "ATTACH_MACRO"},
		{"an encrypted OpenDocument", file{name: "a.odt", content: zipped("mimetype", "application/vnd.oasis.opendocument.text", "META-INF/manifest.xml", "<manifest:encryption-data>")}, "ATTACH_ENCRYPTED_OFFICE"},
		{"a template from elsewhere", file{name: "a.docx", content: docx("word/_rels/settings.xml.rels", rels("attachedTemplate", "External", "http://evil.example/t.dotm"))}, "ATTACH_REMOTE_TEMPLATE"},
		{"a template of its own", file{name: "a.docx", content: docx("word/_rels/settings.xml.rels", rels("attachedTemplate", "External", "file:///C:/t.dotm"))}, ""},
		{"a link to click", file{name: "a.docx", content: docx("word/_rels/document.xml.rels", rels("hyperlink", "External", "http://example.org/"))}, ""},
		{"a program in a document", file{name: "a.docx", content: docx("word/embeddings/oleObject1.bin", compounded("", cfbPart{"\x01Ole10Native", 2, "", native("a.exe", exe)}))}, "ATTACH_OLE_OBJECT ATTACH_EXECUTABLE"},
		{"macros in an old document", file{name: "a.doc", content: compounded("", cfbPart{"Macros", 1, "", ""}, cfbPart{"VBA", 1, "", ""}, cfbPart{"WordDocument", 2, "", strings.Repeat("\x00", 600)})}, "ATTACH_MACRO"},
		{"an old document", file{name: "a.doc", content: compounded("", cfbPart{"WordDocument", 2, "", strings.Repeat("\x00", 600)})}, ""},
		{"an encrypted old document", file{name: "a.doc", content: compounded("", cfbPart{"WordDocument", 2, "", strings.Repeat("\x01", 600)})}, "ATTACH_ENCRYPTED_OFFICE"},
		{"an encrypted document", file{name: "a.docx", content: compounded("", cfbPart{"EncryptedPackage", 2, "", "x"})}, "ATTACH_ENCRYPTED_OFFICE"},
		{"an encrypted old workbook", file{name: "a.xls", content: compounded("", cfbPart{"Workbook", 2, "", record(0x809, "x") + record(0x2f, "x")})}, "ATTACH_ENCRYPTED_OFFICE"},
		{"macros of Excel 4.0 in an old workbook", file{name: "a.xls", content: compounded("", cfbPart{"Workbook", 2, "", record(0x809, "x") + record(0x85, "\x00\x00\x00\x00\x00\x01\x01a")})}, "ATTACH_MACRO_SHEET"},
		{"the old equation editor", file{name: "a.xls", content: compounded("", cfbPart{"Equation Native", 2, "", "x"})}, "ATTACH_OLE_EQUATION"},
		{"an object in RTF that runs", file{name: "a.doc", content: `{\rtf1{\object\objupdate\objdata 01}}`}, "ATTACH_OLE_OBJECT ATTACH_REMOTE_TEMPLATE"},
		{"a template of RTF", file{name: "a.rtf", content: `{\rtf1{\*\template http://evil.example/}}`}, "ATTACH_REMOTE_TEMPLATE"},

		{"scripts in PDF", file{name: "a.pdf", content: pdf + "/OpenAction<</S/JavaScript/JS(x)>>"}, "PDF_SCRIPT"},
		{"scripts in PDF with escapes", file{name: "a.pdf", content: pdf + "/OpenAction<</S/Java#53cript/JS(x)>>"}, "PDF_SCRIPT"},
		{"scripts in an object stream", file{name: "a.pdf", content: pdf + "<</Type/ObjStm/Filter/FlateDecode>>stream\r\n" + deflated("<</S/Launch/F(cmd)>>") + "\nendstream"}, "PDF_LAUNCH"},
		{"a file in PDF", file{name: "a.pdf", content: pdf + "/Names<</EmbeddedFiles 3 0 R>>"}, "PDF_EMBEDDED"},
		{"an encrypted PDF", file{name: "a.pdf", content: pdf + "trailer<</Encrypt 5 0 R>>"}, "PDF_ENCRYPTED"},

		{"a page", file{name: "a.html", kind: "text/html", content: "<p>hello <img src='data:image/png;base64,x'>"}, ""},
		{"a page that asks for a password", file{name: "a.htm", content: "<form action=http://evil.example><input type=Password>"}, "HTML_FORM HTML_PASSWORD_FORM"},
		{"a page that makes a file", file{name: "a.html", content: "<script>var b=new Blob([Uint8Array.from(atob('TVqQ'))]);URL.createObjectURL(b)</script>"}, "HTML_SCRIPT HTML_SMUGGLING"},
		{"a page that decodes itself", file{name: "a.shtml", content: "<script>document.write(unescape('%3c'))</script>"}, "HTML_SCRIPT HTML_SMUGGLING"},
		{"a page that is a link to itself", file{name: "a.html", content: "<a download=a.zip href='data:application/zip;base64,UEs='>"}, "HTML_SMUGGLING"},
		{"a page that leads elsewhere", file{name: "a.html", content: "<meta http-equiv=Refresh content='0;URL=http://evil.example/'>"}, "HTML_REDIRECT"},
		{"a picture that leads elsewhere", file{name: "a.svg", kind: "image/svg+xml", content: "<svg onload=\"window.location='http://evil.example/'\">"}, "HTML_SCRIPT HTML_REDIRECT"},
		{"a page in UTF-16", file{name: "a.html", content: "\xff\xfe" + wide("<input type=password>")}, "HTML_PASSWORD_FORM"},
		{"a message that is encoded", file{name: "a.eml", kind: "message/rfc822", content: string(letter(file{name: "a.exe", content: exe}).Content)}, "ATTACH_EXECUTABLE"},
	} {
		got, r := rules(t, New(Config{}), letter(c.file))
		if got != c.want {
			t.Errorf("%s: got %q, want %q: %+v", c.name, got, c.want, r.Findings)
		}
		if r.Action != mail.Accept {
			t.Errorf("%s: action %v without a policy that asks for one", c.name, r.Action)
		}
	}
}

// wide is s in UTF-16.
func wide(s string) string {
	var b strings.Builder
	for _, c := range []byte(s) {
		b.WriteByte(c)
		b.WriteByte(0)
	}
	return b.String()
}

func TestActions(t *testing.T) {
	p := New(Config{Actions: map[Class]mail.Action{Executable: mail.Reject, Encrypted: mail.Quarantine, Listed: mail.Tag},
		Allow: []string{".JAR"}, Deny: []string{"pst"}})
	for _, c := range []struct {
		name  string
		files []file
		want  mail.Action
		reply string
	}{
		{"nothing", []file{{name: "a.txt"}}, mail.Accept, ""},
		{"a class without an action", []file{{name: "a.docm", content: zipped("[Content_Types].xml", "", "vbaProject.bin", "")}}, mail.Accept, ""},
		{"quarantine", []file{{name: "a.zip", content: lockedZip("a.txt", "x")}}, mail.Quarantine, ""},
		{"the strongest counts", []file{{name: "a.zip", content: lockedZip("a.txt", "x")}, {name: "ä.exe", content: exe}}, mail.Reject,
			`554 5.7.1 our policy about attachments: "?.exe" is a program for Windows`},
		{"an extension that is allowed", []file{{name: "a.jar", content: zipped("META-INF/MANIFEST.MF", "x", "A.class", "x")}}, mail.Accept, ""},
		{"an extension that is denied", []file{{name: "a.PST"}}, mail.Tag, ""},
	} {
		_, r := rules(t, p, letter(c.files...))
		reply := ""
		if r.Reply != nil {
			reply = r.Reply.Error()
		}
		if r.Action != c.want || reply != c.reply {
			t.Errorf("%s: %v, reply %s", c.name, r.Action, reply)
		}
	}
}

// sums is a table.
type sums map[string]string

func (s sums) Lookup(_ context.Context, key string) (string, bool, error) {
	if s == nil {
		return "", false, errors.New("no answer")
	}
	v, ok := s[key]
	return v, ok, nil
}

func TestSums(t *testing.T) {
	large := strings.Repeat("evil", 50_000)
	sum := sha256.Sum256([]byte(large))
	p := New(Config{Hashes: sums{hex.EncodeToString(sum[:]): "seen in March"}})
	for name, content := range map[string]string{"itself": large, "in an archive": zipped("b/a.txt", large), "in a stream": gzipped(large)} {
		if got, _ := rules(t, p, letter(file{name: "a", content: content})); got != "ATTACH_HASH" {
			t.Errorf("%s: %q", name, got)
		}
	}
	if got, _ := rules(t, p, letter(file{name: "a", content: large + "!"})); got != "" {
		t.Errorf("another file: %q", got)
	}
	if got, r := rules(t, New(Config{Hashes: sums(nil)}), letter(file{name: "a", content: large})); got != "ARCHIVE_LIMIT" || r.Action != mail.Accept {
		t.Errorf("a table that gives no answer: %q, %v", got, r.Action)
	}
}

func TestTextOfTheMessageIsNoAttachment(t *testing.T) {
	for _, kind := range []string{"text/html", "text/calendar; method=REQUEST", "text/plain"} {
		m := parsed("Content-Type: " + kind + "\r\n\r\n<html><script>atob(1);new Blob(1)</script><input type=password>\r\n")
		if got, _ := rules(t, New(Config{}), m); got != "" {
			t.Errorf("%s: %q", kind, got)
		}
	}
}
