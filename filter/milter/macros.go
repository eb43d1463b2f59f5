package milter

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net/netip"
	"strings"

	"posthaste/mail"
)

// Bounds of the macros that a milter may ask for.
const maxStageMacros = 100

// stages of the negotiation (SMFIM_*), each with the macros sent when the milter names none: those of
// Postfix, whose milters ours are.
var stages = map[byte]stage{
	cmdConnect: {0, "j {daemon_name} {daemon_addr} v _ {client_addr} {client_name} {client_port} {client_ptr}"},
	cmdHelo:    {1, "{tls_version} {cipher} {cipher_bits} {cert_subject} {cert_issuer}"},
	cmdMail:    {2, "i {auth_type} {auth_authen} {auth_author} {mail_addr} {mail_host} {mail_mailer}"},
	cmdRcpt:    {3, "i {rcpt_addr} {rcpt_host} {rcpt_mailer}"},
	cmdData:    {4, "i"},
	cmdEOM:     {5, "i {auth_type} {auth_authen} {auth_author} {mail_addr}"},
	cmdEOH:     {6, "i"},
}

type stage struct {
	number uint32
	macros string
}

// A macroList is the names of macros by command; those the milter chose in the negotiation.
type macroList map[byte][]string

// parseMacroList reads what follows the flags in the answer to the negotiation: stage, names, NUL, each.
func parseMacroList(data []byte) (macroList, error) {
	list := macroList{}
	for len(data) > 0 {
		if len(data) < 4 {
			return nil, fmt.Errorf("%w: a list of macros that ends early", errProtocol)
		}
		number := binary.BigEndian.Uint32(data)
		names, rest, ok := cut(data[4:])
		if !ok {
			return nil, fmt.Errorf("%w: a list of macros without end", errProtocol)
		}
		for code, s := range stages {
			if s.number == number {
				all := strings.FieldsFunc(names, func(r rune) bool { return r == ' ' || r == ',' || r == '\t' })
				list[code] = all[:min(len(all), maxStageMacros)]
			}
		}
		data = rest
	}
	return list, nil
}

// of returns the names of macros for a command.
func (l macroList) of(code byte) []string {
	if names, ok := l[code]; ok {
		return names
	}
	return strings.Fields(stages[code].macros)
}

// macros are values by name; names longer than a letter have braces, as Sendmail writes them.
type macros map[string]string

// data returns the content of the macro command before command code.
func (m macros) data(code byte, names []string) []byte {
	var b bytes.Buffer
	b.WriteByte(code)
	for _, name := range names {
		value := m[name]
		if value == "" && len(name) > 1 && name[0] != '{' {
			value = m["{"+name+"}"]
		}
		if value == "" || b.Len()+len(name)+len(value)+2 > maxChunk {
			continue
		}
		b.Write(cstring(nil, name))
		b.Write(cstring(nil, value))
	}
	return b.Bytes()
}

// client sets the macros about the host that speaks to us.
func (m macros) client(hostname string, o mail.Origin) {
	name, ip := o.Name, o.IP.Unmap().WithZone("")
	switch {
	case !ip.IsValid():
		name, ip = "localhost", netip.AddrFrom4([4]byte{127, 0, 0, 1})
	case name == "":
		name = "unknown"
	}
	m["j"], m["v"], m["{daemon_name}"] = hostname, "Posthaste", hostname
	m["{client_addr}"], m["{client_name}"], m["{client_ptr}"], m["{client_port}"] = ip.String(), name, name, "0"
	m["_"] = name + " [" + ip.String() + "]"
}

// tls sets those about encryption. The origin has it for people: "TLS 1.3 TLS_AES_128_GCM_SHA256".
func (m macros) tls(o mail.Origin) {
	words := strings.Fields(o.TLS)
	if len(words) < 2 {
		return
	}
	m["{tls_version}"], m["{cipher}"] = words[0]+"v"+words[1], words[len(words)-1]
	for _, bits := range []string{"128", "256"} {
		if strings.Contains(o.TLS, "AES_"+bits) || strings.Contains(o.TLS, "CHACHA20") && bits == "256" {
			m["{cipher_bits}"] = bits
		}
	}
}

// sender sets those about MAIL.
func (m macros) sender(e *mail.Envelope) {
	m["i"], m["{mail_addr}"] = string(e.ID), e.From.String()
	m["{mail_host}"], m["{mail_mailer}"] = e.From.Domain, "smtp"
	if e.Origin.Login != "" {
		m["{auth_authen}"], m["{auth_type}"] = e.Origin.Login, "SASL"
	}
}

// recipient sets those about RCPT.
func (m macros) recipient(a mail.Address) {
	m["{rcpt_addr}"], m["{rcpt_host}"], m["{rcpt_mailer}"] = a.String(), a.Domain, "smtp"
}
