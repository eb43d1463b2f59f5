package dlp

import "strings"

// An issuer is a range of leading digits of card numbers, and how many digits such numbers have.
type issuer struct {
	first, last string // of the same length
	min, max    int
}

// issuers are the ranges of ISO/IEC 7812 that the large card systems publish as theirs.
var issuers = [...]issuer{
	{"4", "4", 13, 19},       // Visa: 13, 16 or 19
	{"51", "55", 16, 16},     // Mastercard
	{"2221", "2720", 16, 16}, // Mastercard
	{"34", "34", 15, 15},     // American Express
	{"37", "37", 15, 15},     // American Express
	{"300", "305", 14, 19},   // Diners Club
	{"3095", "3095", 14, 19}, // Diners Club
	{"36", "36", 14, 19},     // Diners Club
	{"38", "39", 16, 19},     // Diners Club
	{"6011", "6011", 16, 19}, // Discover
	{"644", "649", 16, 19},   // Discover
	{"65", "65", 16, 19},     // Discover
	{"3528", "3589", 16, 19}, // JCB
	{"62", "62", 16, 19},     // UnionPay
	{"81", "81", 16, 19},     // UnionPay
	{"5018", "5018", 12, 19}, // Maestro
	{"5020", "5020", 12, 19}, // Maestro
	{"5038", "5038", 12, 19}, // Maestro
	{"5893", "5893", 12, 19}, // Maestro
	{"6304", "6304", 12, 19}, // Maestro
	{"6759", "6763", 12, 19}, // Maestro
}

// Digits of card numbers.
const (
	minCard = 12
	maxCard = 19
)

// isCard tells whether digits are the number of a card: known by its issuer, long enough for it, and
// with the check digit that Luhn's formula asks for.
func isCard(digits string) bool {
	if len(digits) < minCard || len(digits) > maxCard || !luhn(digits) {
		return false
	}
	for _, i := range issuers {
		head := digits[:len(i.first)]
		if head < i.first || head > i.last || len(digits) < i.min || len(digits) > i.max {
			continue
		}
		if i.first == "4" && len(digits) != 13 && len(digits) != 16 && len(digits) != 19 {
			continue
		}
		return true
	}
	return false
}

// luhn checks the last digit (ISO/IEC 7812-1, annex B).
func luhn(digits string) bool {
	sum := 0
	for i := range len(digits) {
		d := int(digits[len(digits)-1-i] - '0')
		if i%2 == 1 {
			if d *= 2; d > 9 {
				d -= 9
			}
		}
		sum += d
	}
	return sum%10 == 0
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }
func isAlnum(c byte) bool { return isDigit(c) || c|0x20 >= 'a' && c|0x20 <= 'z' || c >= 0x80 }

// eachCard calls fn with the digits of each card number in s until it returns false. Numbers are written
// in one or in groups with one blank or one hyphen between them, everywhere the same; neither letter nor
// digit touches them.
func eachCard(s string, fn func(digits string) bool) {
	for i := 0; i < len(s); {
		if !isDigit(s[i]) || i > 0 && isAlnum(s[i-1]) {
			i++
			continue
		}
		if digits, end := cardAt(s, i); digits != "" {
			if !fn(digits) {
				return
			}
			i = end
			continue
		}
		for i < len(s) && isDigit(s[i]) {
			i++
		}
	}
}

// cardAt returns the longest card number that begins at i with a group of digits, and where it ends.
func cardAt(s string, i int) (found string, end int) {
	var buf [maxCard]byte
	digits, separator := buf[:0], byte(0)
	for {
		for i < len(s) && isDigit(s[i]) {
			if len(digits) == maxCard {
				return found, end
			}
			digits = append(digits, s[i])
			i++
		}
		if i < len(s) && isAlnum(s[i]) {
			return found, end
		}
		if isCard(string(digits)) {
			found, end = string(digits), i
		}
		if i+1 >= len(s) || s[i] != ' ' && s[i] != '-' || !isDigit(s[i+1]) || separator != 0 && s[i] != separator {
			return found, end
		}
		separator = s[i]
		i++
	}
}

// ibanLengths has the characters of an IBAN by country, as the registry of ISO 13616 lists them.
const ibanLengths = "AD24 AE23 AL28 AT20 AZ28 BA20 BE16 BG22 BH22 BI27 BR29 BY28 CH21 CR22 CY28 CZ24 DE22 DJ27 DK18 DO28 " +
	"EE20 EG29 ES24 FI18 FK18 FO18 FR27 GB22 GE22 GI23 GL18 GR27 GT28 HR21 HU28 IE22 IL23 IQ23 IS26 IT27 JO30 KW30 KZ20 " +
	"LB28 LC32 LI21 LT20 LU20 LV21 LY25 MC27 MD24 ME22 MK19 MN20 MR27 MT31 MU30 NI28 NL18 NO15 OM23 PK24 PL28 PS29 PT25 " +
	"QA29 RO24 RS22 RU33 SA24 SC31 SD18 SE24 SI19 SK24 SM27 SO23 ST25 SV28 TL23 TN24 TR26 UA29 VA22 VG24 XK20 YE30"

// ibanLength returns how long IBANs of a country are, or 0 where there are none.
func ibanLength(country string) int {
	at := strings.Index(ibanLengths, country)
	if at < 0 || at%5 != 0 {
		return 0
	}
	return int(ibanLengths[at+2]-'0')*10 + int(ibanLengths[at+3]-'0')
}

// eachIBAN calls fn with each IBAN in s, in capitals and without blanks, until it returns false.
func eachIBAN(s string, fn func(iban string) bool) {
	for i := 0; i+4 < len(s); i++ {
		if isDigit(s[i]) || !isAlnum(s[i]) || !isDigit(s[i+2]) || !isDigit(s[i+3]) || i > 0 && isAlnum(s[i-1]) {
			continue
		}
		iban, end := ibanAt(s, i)
		if iban == "" {
			continue
		}
		if !fn(iban) {
			return
		}
		i = end - 1
	}
}

// maxIBAN is the longest of ibanLengths, with room.
const maxIBAN = 34

// ibanAt returns the IBAN that begins at i, and where it ends.
func ibanAt(s string, i int) (string, int) {
	length := ibanLength(strings.ToUpper(s[i : i+2]))
	if length == 0 {
		return "", 0
	}
	var buf [maxIBAN]byte
	iban := buf[:0]
	for len(iban) < length && i < len(s) {
		c := s[i]
		switch {
		case c >= 'a' && c <= 'z':
			iban = append(iban, c-'a'+'A')
		case isDigit(c) || c >= 'A' && c <= 'Z':
			iban = append(iban, c)
		case c != ' ' && c != '-' || i+1 < len(s) && (s[i+1] == ' ' || s[i+1] == '-'):
			return "", 0
		}
		i++
	}
	if len(iban) < length || i < len(s) && isAlnum(s[i]) || !mod97(iban) {
		return "", 0
	}
	return string(iban), i
}

// mod97 checks the check digits (ISO/IEC 7064, MOD 97-10): with the first four characters at the end and
// letters as 10 to 35, the number leaves 1.
func mod97(iban []byte) bool {
	rest := 0
	for i := range iban {
		c := iban[(i+4)%len(iban)]
		if isDigit(c) {
			rest = (rest*10 + int(c-'0')) % 97
		} else {
			rest = (rest*100 + int(c-'A') + 10) % 97
		}
	}
	return rest == 1
}
