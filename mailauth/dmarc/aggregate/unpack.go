package aggregate

import (
	"archive/zip"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"

	"posthaste/message"
)

// Bounds of what is unpacked.
const (
	maxPacked      = 4 << 20 // bytes of an attachment
	maxUnpacked    = 8 << 20 // bytes of XML of all attachments of a message together
	maxWrappings   = 2       // of gzip and zip around each other
	maxFiles       = 1000    // in a zip archive
	maxAttachments = 20      // of a message that are looked at
)

var errTooLarge = fmt.Errorf("aggregate: more than %d bytes when unpacked", maxUnpacked)

// Extract returns the report that a message brings: the first of its parts that is one.
func Extract(content []byte) (Report, error) {
	budget := int64(maxUnpacked)
	problem := errNoReport
	var found *Report
	tried := 0
	message.Parse(content).Walk(func(p *message.Part) bool {
		if p.IsMultipart() || p.Message != nil || !candidate(p) {
			return true
		}
		if tried++; tried > maxAttachments {
			return false
		}
		r, err := extractPart(p, &budget)
		if err != nil {
			if problem == errNoReport || !errors.Is(err, errNoReport) {
				problem = err
			}
			return !errors.Is(err, errTooLarge)
		}
		found = &r
		return false
	})
	if found == nil {
		return Report{}, problem
	}
	return *found, nil
}

func extractPart(p *message.Part, budget *int64) (Report, error) {
	if len(p.Body()) > maxPacked*3/2 {
		return Report{}, fmt.Errorf("aggregate: an attachment of more than %d bytes", maxPacked)
	}
	body, err := p.Decode(nil)
	if err != nil {
		return Report{}, fmt.Errorf("aggregate: the attachment cannot be decoded: %w", err)
	}
	xml, err := unpack(body, budget)
	if err != nil {
		return Report{}, err
	}
	return parseXML(xml)
}

// candidate tells whether a part may hold a report, by its type or name.
func candidate(p *message.Part) bool {
	switch t := p.Type(); t {
	case "application/gzip", "application/x-gzip", "application/zip", "application/x-zip-compressed", "application/x-zip", "application/octet-stream", "text/xml", "application/xml":
		return true
	}
	name := strings.ToLower(p.Filename())
	return strings.HasSuffix(name, ".xml") || strings.HasSuffix(name, ".gz") || strings.HasSuffix(name, ".zip")
}

// unpack returns the XML in b. What it unpacks is taken off the budget.
func unpack(b []byte, budget *int64) ([]byte, error) {
	for range maxWrappings {
		if len(b) > maxPacked {
			break
		}
		var err error
		switch {
		case bytes.HasPrefix(b, []byte{0x1f, 0x8b}):
			b, err = unzip(gzip.NewReader(bytes.NewReader(b)))(budget)
		case bytes.HasPrefix(b, []byte("PK\x03\x04")):
			b, err = unarchive(b, budget)
		}
		if err != nil {
			return nil, err
		}
	}
	if len(b) > maxUnpacked {
		return nil, errTooLarge
	}
	if bytes.HasPrefix(b, []byte{0x1f, 0x8b}) || bytes.HasPrefix(b, []byte("PK\x03\x04")) {
		return nil, errors.New("aggregate: packed too often or too large")
	}
	return b, nil
}

// unzip returns what reads a stream within the budget. What came before a broken end counts: some hosts
// leave the end of their gzip files out.
func unzip(z io.Reader, err error) func(budget *int64) ([]byte, error) {
	return func(budget *int64) ([]byte, error) {
		if err != nil {
			return nil, fmt.Errorf("aggregate: %w", err)
		}
		b, err := io.ReadAll(io.LimitReader(z, *budget+1))
		if int64(len(b)) > *budget {
			*budget = 0
			return nil, errTooLarge
		}
		*budget -= int64(len(b))
		if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
			return nil, fmt.Errorf("aggregate: %w", err)
		}
		return b, nil
	}
}

// unarchive returns the first XML file of a zip archive, or the only file.
func unarchive(b []byte, budget *int64) ([]byte, error) {
	z, err := zip.NewReader(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		return nil, fmt.Errorf("aggregate: %w", err)
	}
	if len(z.File) > maxFiles {
		return nil, fmt.Errorf("aggregate: an archive of %d files", len(z.File))
	}
	for _, f := range z.File {
		if ext := strings.ToLower(path.Ext(f.Name)); ext == ".xml" || ext == ".gz" || len(z.File) == 1 {
			r, err := f.Open()
			if err == nil {
				defer r.Close()
			}
			return unzip(r, err)(budget)
		}
	}
	return nil, errNoReport
}
