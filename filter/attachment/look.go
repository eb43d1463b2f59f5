package attachment

import (
	"bufio"
	"bytes"
	"compress/flate"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"strings"
	"time"

	"posthaste/message"
)

// A look is one Scan: what it has seen and what it may still spend.
type look struct {
	*Policy
	ctx   context.Context
	seen  []seen
	left  int64 // bytes that may still be unpacked
	reads int   // entries whose content may still be looked at
	asked int   // sums that were looked up
	until time.Time
	burst bool        // a bomb was seen: no archive is opened any more
	idle  []io.Reader // inflaters to use again
}

// An item is a file: a part of the message, or an entry of an archive.
type item struct {
	name     string
	declared string // media type, or ""
	path     string // of the archive around it, or ""
	depth    int    // of archives around it
	among    int    // files beside it in the archive
	data     []byte // all of it or the begin
	whole    bool   // data is all
	enclosed bool   // a message
}

// at returns the path of the item itself.
func (it item) at() string {
	name := it.name
	if name == "" {
		name = "without name"
	}
	if it.path == "" {
		return name
	}
	return it.path + ": " + name
}

// item judges a file by name and content.
func (l *look) item(it item) {
	k := sniff(it.data, it.name)
	l.name(it, k)
	l.program(it, k)
	if it.whole {
		l.sum(it)
	}
	if it.enclosed {
		l.enclosed(it)
		return
	}
	if k.opens() {
		l.open(it, k)
	}
}

// manyFiles in an archive make scripts among them ordinary: the source of a web page.
const manyFiles = 20

// name judges the name alone, and what it says about a program.
func (l *look) name(it item, k kind) {
	if it.name == "" {
		return
	}
	ext := extension(it.name)
	if l.allow[ext] {
		return
	}
	if how := trick(it.name); how != "" {
		l.add(nameTrick, it.at(), how)
	}
	if l.deny[ext] {
		l.add(denied, it.at(), "has an extension that is denied")
	}
	program, scripted := isProgram(ext), among(scriptExtensions, ext)
	if ext == "com" && (k == image || k == pdfFile || k == htmlFile || len(it.data) > 0 && isText(it.data)) {
		program = false // "www.example.com" is the name of many a page that was saved
	}
	if (program || scripted) && doubled(it.name, ext) {
		l.add(doubleExt, it.at(), "ends in two extensions, of which the last counts")
	}
	switch {
	case program && k.program() == "":
		l.add(executable, it.at(), "has an extension that starts programs")
	case scripted && it.among > manyFiles:
		l.add(scriptAmong, it.path, "has scripts among many files")
	case scripted:
		l.add(script, it.at(), "has an extension that runs scripts")
	}
}

// program judges whether the content is one, whatever it is called.
func (l *look) program(it item, k kind) {
	ext := extension(it.name)
	if what := k.program(); what != "" && !l.allow[ext] {
		l.add(executable, it.at(), what)
		if among(documentExtensions, ext) {
			l.add(hidden, it.at(), what+" but is named as a document")
		}
		return
	}
	if wrong(k, ext) {
		l.add(mismatch, it.at(), "is not what its extension says")
	} else if k != unknown && k != image && strings.HasPrefix(it.declared, "image/") && it.declared != "image/svg+xml" {
		l.add(mismatch, it.at(), "is declared as an image and is none")
	}
}

// wrong tells whether a file of kind k has the extension of another kind.
func wrong(k kind, ext string) bool {
	switch k {
	case zipFile, gzipFile, bzip2File, zstdFile, tarFile, otherArchive, pdfFile, htmlFile, shellScript:
		if among(" jpg jpeg png gif bmp tif tiff webp mp3 mp4 wav avi mov mkv txt csv ics vcf ", ext) {
			return true
		}
	}
	switch k {
	case zipFile, htmlFile, compound, rtfFile:
		return ext == "pdf"
	case image, sound:
		return among(" pdf doc docx xls xlsx ppt pptx htm html ", ext)
	}
	return false
}

// isText tells whether data has no control characters beyond those of text.
func isText(data []byte) bool {
	for _, c := range data[:min(len(data), 512)] {
		if c < ' ' && c != '\t' && c != '\n' && c != '\r' && c != '\f' {
			return false
		}
	}
	return true
}

// maxSums bounds how many sums of one message are looked up.
const maxSums = 100

// sum looks the SHA-256 sum of the file up. A table that cannot be asked is no evidence.
func (l *look) sum(it item) {
	if l.hashes == nil || len(it.data) == 0 || l.asked >= maxSums {
		return
	}
	l.asked++
	sum := sha256.Sum256(it.data)
	key := hex.EncodeToString(sum[:])
	if why, found, err := l.hashes.Lookup(l.ctx, key); err == nil && found {
		l.add(listed, it.at(), "is listed by its sum "+key[:16]+"… ("+visible(why)+")")
	} else if err != nil {
		l.add(limit, it.at(), "could not be looked up by its sum, the table gives no answer")
	}
}

// enclosed looks into a message that is encoded, or a file.
func (l *look) enclosed(it item) {
	if it.depth >= l.depth {
		l.add(limit, it.at(), "lies deeper than is looked")
		return
	}
	l.message(message.Parse(it.data), it.at(), it.depth+1)
}

// open looks into a file of a kind that has others within.
func (l *look) open(it item, k kind) {
	switch k {
	case pdfFile:
		l.pdf(it)
		return
	case rtfFile:
		l.rtf(it)
		return
	case htmlFile:
		l.html(it)
		return
	case otherArchive:
		l.opaque(it)
		return
	}
	switch {
	case l.burst:
		return
	case it.depth >= l.depth:
		l.add(limit, it.at(), "lies deeper than is looked")
		return
	}
	switch k {
	case zipFile:
		l.zip(it)
	case compound:
		l.compound(it)
	case tarFile:
		l.tar(it, bytes.NewReader(it.data))
	default:
		l.stream(it, k)
	}
}

// errSpent tells that the message may cost no more.
var errSpent = errors.New("attachment: bounds reached")

// spend takes n bytes off what may be unpacked.
func (l *look) spend(n int) error {
	l.left -= int64(n)
	if l.left < 0 || time.Now().After(l.until) || l.ctx.Err() != nil {
		return errSpent
	}
	return nil
}

// unpacked reads at most max bytes that come out of unpacking, and tells whether that was all. What is
// damaged gives what came before the damage.
func (l *look) unpacked(r *bufio.Reader, max int) (data []byte, whole bool, err error) {
	const first, step = 1 << 10, 32 << 10
	for {
		if len(data) >= max {
			_, err := r.Peek(1)
			return data, errors.Is(err, io.EOF), nil
		}
		room := min(step, max-len(data))
		if data == nil {
			room = min(first, max) // most entries of an archive that has many are short
		}
		if cap(data)-len(data) < room {
			data = append(make([]byte, 0, len(data)*2+room), data...)
		}
		n, err := io.ReadFull(r, data[len(data):len(data)+room])
		data = data[:len(data)+n]
		if spent := l.spend(n); spent != nil {
			return data, false, spent
		}
		if err != nil {
			return data, errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF), nil
		}
	}
}

// inflate returns what unpacks deflate; give it back with release once it is read. A fresh one takes 40 KB,
// which an archive of many files would take for each.
func (l *look) inflate(r io.Reader) io.Reader {
	if n := len(l.idle); n > 0 {
		z := l.idle[n-1]
		l.idle = l.idle[:n-1]
		if z.(flate.Resetter).Reset(r, nil) == nil {
			return z
		}
	}
	return flate.NewReader(r)
}

func (l *look) release(r io.Reader) {
	if _, ok := r.(flate.Resetter); ok {
		l.idle = append(l.idle, r)
	}
}

// Sizes of what is read of an entry.
const (
	headSize = 36 << 10 // to see what it is
	maxWhole = 32 << 20 // to look into it
)

// entry judges an entry of an archive, which r unpacks.
func (l *look) entry(it item, r io.Reader) error {
	if l.reads--; l.reads < 0 {
		l.add(limit, it.path, "has more files than are looked into")
		return errSpent
	}
	buffered := bufio.NewReader(r)
	data, whole, err := l.unpacked(buffered, headSize)
	it.enclosed = extension(it.name) == "eml"
	if err == nil && !whole && (l.hashes != nil || it.enclosed || sniff(data, it.name).opens()) {
		var rest []byte
		rest, whole, err = l.unpacked(buffered, maxWhole-headSize)
		data = append(data, rest...)
	}
	if err != nil {
		l.add(limit, it.at(), "has more within than is looked into")
	}
	it.data, it.whole = data, whole
	l.item(it)
	return err
}
