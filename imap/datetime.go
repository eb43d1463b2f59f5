package imap

import (
	"strconv"
	"time"
)

var months = [...]string{"JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"}

// date parses the date of a search key: 1-Feb-1994, quoted or not (RFC 9051 section 9). The time is
// midnight UTC: searches disregard time and zone.
func (s *scanner) date() time.Time {
	quoted := s.accept('"')
	day := s.digits(1, 2)
	year, month := s.monthYear()
	if quoted {
		s.expect('"')
	}
	return s.makeDate(year, month, day, 0, 0, 0, 0)
}

// dateTime parses "17-Jul-1996 02:44:25 -0700"; a day under 10 may begin with a space.
func (s *scanner) dateTime() time.Time {
	s.expect('"')
	var day int
	if s.accept(' ') {
		day = s.digits(1, 1)
	} else {
		day = s.digits(1, 2)
	}
	year, month := s.monthYear()
	s.space()
	hour := s.digits(2, 2)
	s.expect(':')
	minute := s.digits(2, 2)
	s.expect(':')
	second := s.digits(2, 2)
	s.space()
	negative := s.accept('-')
	if !negative {
		s.expect('+')
	}
	zone := s.digits(4, 4)
	offset := zone/100*3600 + zone%100*60
	if zone%100 > 59 || zone > 2400 {
		s.fail("a zone is wrong")
	}
	if negative {
		offset = -offset
	}
	s.expect('"')
	return s.makeDate(year, month, day, hour, minute, second, offset)
}

func (s *scanner) monthYear() (int, time.Month) {
	s.expect('-')
	name := upper(s.run(classLetter))
	s.expect('-')
	year := s.digits(4, 4)
	for i, m := range months {
		if m == name {
			return year, time.Month(i + 1)
		}
	}
	s.fail("a month is one of Jan to Dec")
	return 0, 0
}

func (s *scanner) makeDate(year int, month time.Month, day, hour, minute, second, offset int) time.Time {
	if s.err != nil {
		return time.Time{}
	}
	zone := time.UTC
	if offset != 0 {
		zone = time.FixedZone("", offset)
	}
	t := time.Date(year, month, day, hour, minute, second, 0, zone)
	if t.Day() != day || hour > 23 || minute > 59 || second > 60 {
		s.fail("a date or time is out of range")
		return time.Time{}
	}
	return t
}

// digits returns a number of least to most digits.
func (s *scanner) digits(least, most int) int {
	n, count := 0, 0
	for count < most && s.peek() >= '0' && s.peek() <= '9' {
		n = n*10 + int(s.src[s.pos]-'0')
		s.pos++
		count++
	}
	if count < least {
		s.fail("expected a digit at byte " + strconv.Itoa(s.pos+1))
	}
	return n
}

// AppendDateTime prints t as a quoted date-time in t's zone.
func AppendDateTime(dst []byte, t time.Time) []byte {
	return t.AppendFormat(dst, `"_2-Jan-2006 15:04:05 -0700"`)
}
