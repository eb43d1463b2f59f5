package sim

import (
	"archive/zip"
	"bytes"
	"compress/gzip"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"strings"
	"sync"
	"time"

	"posthaste/dns/dnstest"
	"posthaste/mailauth/arc"
	"posthaste/mailauth/dkim"
)

// small returns n, or with POSTHASTE_TORTURE=1 full.
func small(n, full int) int {
	if torture() {
		return full
	}
	return n
}

const bombHead = "From: Bob <bob@evil.test>\r\nTo: ann@north.test\r\nSubject: for you\r\nDate: Mon, 30 Nov 2026 12:00:00 +0000\r\nMessage-ID: <bomb@evil.test>\r\nMIME-Version: 1.0\r\n"

// withHeader returns a plain message with more fields.
func withHeader(fields string) func() string {
	return func() string { return bombHead + fields + "\r\nHello.\r\n" }
}

// repeat returns the texts that one makes of the numbers below n.
func repeat(n int, one func(i int) string) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(one(i))
	}
	return b.String()
}

// attached returns a message with a file.
func attached(name string, file []byte) string {
	var b strings.Builder
	b.WriteString(bombHead + "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nSee the file.\r\n--b\r\nContent-Type: application/octet-stream\r\n" +
		"Content-Disposition: attachment; filename=\"" + name + "\"\r\nContent-Transfer-Encoding: base64\r\n\r\n")
	text := base64.StdEncoding.EncodeToString(file)
	for len(text) > 76 {
		b.WriteString(text[:76] + "\r\n")
		text = text[76:]
	}
	return b.String() + text + "\r\n--b--\r\n"
}

// zipBomb returns an archive of n files of so many zeros, the same bytes each, within levels of others.
func zipBomb(n int, zeros int, levels int) []byte {
	block := make([]byte, zeros)
	var file bytes.Buffer
	z := zip.NewWriter(&file)
	for i := range n {
		w, _ := z.Create(fmt.Sprintf("%d.txt", i))
		w.Write(block)
	}
	z.Close()
	for range levels {
		var outer bytes.Buffer
		z := zip.NewWriter(&outer)
		for i := range 10 {
			w, _ := z.Create(fmt.Sprintf("%d.zip", i))
			w.Write(file.Bytes())
		}
		z.Close()
		file = outer
	}
	return file.Bytes()
}

func gzipBomb(zeros int) []byte {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	block := make([]byte, 1<<20)
	for range zeros >> 20 {
		w.Write(block)
	}
	w.Close()
	return b.Bytes()
}

// nested returns n multiparts, each within the one before.
func nested(n int) string {
	return bombHead + "Content-Type: multipart/mixed; boundary=b0\r\n\r\n" + repeat(n, func(i int) string {
		return fmt.Sprintf("--b%d\r\nContent-Type: multipart/mixed; boundary=b%d\r\n\r\n", i, i+1)
	}) + "Hello.\r\n"
}

// bombKey is a key that many signatures share; its record is in the zones of signedZones.
var bombKey = sync.OnceValue(func() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, small(2048, 4096))
	if err != nil {
		panic(err)
	}
	return key
})

func signedZones(z *dnstest.Server) {
	der, _ := x509.MarshalPKIXPublicKey(&bombKey().PublicKey)
	record := "v=DKIM1; k=rsa; p=" + base64.StdEncoding.EncodeToString(der)
	for i := range 50 {
		z.TXT(fmt.Sprintf("s%d._domainkey.evil.test", i), record)
	}
	z.TXT("_dmarc.evil.test", "v=DMARC1; p=reject")
}

// signed returns a message with n signatures that hold, each by another selector and, with partial, of
// another length of the body (l=), which makes those fail at their end only.
func signed(n int, body string, partial bool) string {
	content := bombHead + "\r\n" + body
	var keys []dkim.SigningKey
	for i := range n {
		keys = append(keys, dkim.SigningKey{Selector: fmt.Sprintf("s%d", i), Private: bombKey()})
	}
	fields, err := (&dkim.Signer{Domain: "evil.test", Keys: keys}).Sign([]byte(content), time.Now())
	if err != nil {
		panic(err)
	}
	text := string(fields)
	if partial {
		parts := strings.Split(text, "v=1;")
		for i := 1; i < len(parts); i++ {
			parts[i] = fmt.Sprintf("v=1; l=%d;%s", len(body)-i, parts[i])
		}
		text = strings.Join(parts, "")
	}
	return text + content
}

// sealed returns a message with n ARC sets over a header of so many bytes.
func sealed(n, header int) string {
	content := strings.Replace(bombHead, "for you", strings.Repeat(strings.Repeat("x", 70)+"\r\n ", header/73)+"x", 1) + "\r\nHello.\r\n"
	s := arc.Sealer{AuthServ: "mx.evil.test", Domain: "evil.test", Selector: "s1", Key: bombKey()}
	for i := range n {
		before := arc.Chain{Result: arc.None}
		if i > 0 {
			before.Result = arc.Pass
		}
		fields, err := s.Seal([]byte(content), before, time.Now())
		if err != nil {
			break
		}
		content = string(fields) + content
	}
	return content
}
