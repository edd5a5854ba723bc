package signintest

import (
	"fmt"
	"net/http"
	"strings"

	"golang.org/x/text/language"
)

// reader is a person whose language is that of translations[…][reader], or English.
type reader int

const (
	english reader = iota
	korean
	thai
)

var matcher = language.NewMatcher([]language.Tag{english: language.English, korean: language.Korean, thai: language.Thai})

// readerOf looks at ui_locales first, as the application has asked for it.
// https://openid.net/specs/openid-connect-core-1_0.html#AuthRequest
func readerOf(r *http.Request, uiLocales string) reader {
	_, i := language.MatchStrings(matcher, strings.Join(strings.Fields(uiLocales), ","), r.Header.Get("Accept-Language"))
	return reader(i)
}

// Language is for the attribute lang.
func (l reader) Language() string { return [...]string{english: "en", korean: "ko", thai: "th"}[l] }

// T returns a text in the reader's language, with args in place of its verbs. A text
// without translations is a mistake in this package, also for English readers.
func (l reader) T(text string, args ...any) string {
	translated, ok := translations[text]
	if !ok {
		panic("signintest: no translations of " + text)
	}
	if l != english {
		text = translated[l]
	}
	return fmt.Sprintf(text, args...)
}

var translations = map[string][3]string{
	"Test provider": {korean: "테스트용 로그인 서비스", thai: "บริการเข้าสู่ระบบสำหรับทดสอบ"},
	"This is a test provider. No password, no real accounts.": {
		korean: "테스트용 로그인 서비스예요. 비밀번호도 실제 계정도 없어요.",
		thai:   "นี่คือบริการเข้าสู่ระบบสำหรับทดสอบ ไม่มีรหัสผ่านและไม่มีบัญชีจริง"},
	"Sign in":                   {korean: "로그인", thai: "เข้าสู่ระบบ"},
	"Username, e-mail or phone": {korean: "아이디, 이메일 또는 전화번호", thai: "ชื่อผู้ใช้ อีเมล หรือหมายเลขโทรศัพท์"},
	"Continue":                  {korean: "계속하기", thai: "ดำเนินการต่อ"},
	"Or choose a test user":     {korean: "또는 테스트 사용자 선택", thai: "หรือเลือกผู้ใช้ทดสอบ"},
	"Continue with %s":          {korean: "%s 계정으로 계속하기", thai: "ดำเนินการต่อด้วย %s"},
	"Create an account":         {korean: "회원가입", thai: "สมัครสมาชิก"},
	"Create account":            {korean: "가입하기", thai: "สมัครสมาชิก"},
	"Name":                      {korean: "이름", thai: "ชื่อ"},
	"E-mail":                    {korean: "이메일", thai: "อีเมล"},
	"I have an account":         {korean: "이미 계정이 있어요", thai: "มีบัญชีอยู่แล้ว"},
	"Cancel":                    {korean: "취소", thai: "ยกเลิก"},
	"for organization %s":       {korean: "조직: %s", thai: "สำหรับองค์กร %s"},
	"%s: continue as %s":        {korean: "%s: %s 계정으로 계속하기", thai: "%s: ดำเนินการต่อในชื่อ %s"},
	"%s would ask whether to share your account. Here, choose one.": {
		korean: "실제 %s에서는 계정 정보 제공에 동의하는지 물어봐요. 여기서는 계정을 고르기만 하면 돼요.",
		thai:   "%s จริงจะถามว่าคุณยินยอมให้ข้อมูลบัญชีหรือไม่ ส่วนที่นี่เพียงเลือกบัญชีก็พอ"},
	"No test user signs in this way.": {korean: "이 방법으로 로그인하는 테스트 사용자가 없어요.", thai: "ไม่มีผู้ใช้ทดสอบที่เข้าสู่ระบบด้วยวิธีนี้"},

	"There is no such account.":    {korean: "일치하는 계정이 없어요.", thai: "ไม่พบบัญชีนี้"},
	"This account is suspended.":   {korean: "정지된 계정이에요.", thai: "บัญชีนี้ถูกระงับ"},
	"An e-mail address is needed.": {korean: "이메일 주소를 입력해 주세요.", thai: "โปรดระบุอีเมล"},
	"There is an account with this e-mail address already.": {
		korean: "이 이메일 주소로 만든 계정이 이미 있어요.", thai: "มีบัญชีที่ใช้อีเมลนี้อยู่แล้ว"},

	"Accounts": {korean: "계정", thai: "บัญชีผู้ใช้"},
	"What an administrator does here is told to the application by a webhook, if one is set.": {
		korean: "관리자로서 여기에서 한 일은 웹훅이 설정되어 있으면 앱에 전달돼요.",
		thai:   "สิ่งที่ผู้ดูแลระบบทำที่นี่จะแจ้งไปยังแอปผ่านเว็บฮุกหากตั้งค่าไว้"},
	"Suspended":      {korean: "정지됨", thai: "ถูกระงับ"},
	"Suspend":        {korean: "정지", thai: "ระงับ"},
	"Reinstate":      {korean: "정지 해제", thai: "เลิกระงับ"},
	"Reset password": {korean: "비밀번호 재설정", thai: "รีเซ็ตรหัสผ่าน"},

	"This sign-in is over": {korean: "이미 끝난 로그인이에요", thai: "การเข้าสู่ระบบครั้งนี้สิ้นสุดแล้ว"},
	"It has been finished, or was never begun. Go back to the application and start again.": {
		korean: "이미 완료되었거나 시작된 적이 없는 로그인이에요. 앱으로 돌아가 다시 시작해 주세요.",
		thai:   "การเข้าสู่ระบบครั้งนี้เสร็จสิ้นแล้วหรือยังไม่ได้เริ่ม โปรดกลับไปที่แอปแล้วเริ่มใหม่"},
	"You are signed out": {korean: "로그아웃되었어요", thai: "คุณออกจากระบบแล้ว"},
	"This browser has no session at the test provider any more.": {
		korean: "이 브라우저에는 테스트용 로그인 서비스의 로그인 상태가 남아 있지 않아요.",
		thai:   "บริการเข้าสู่ระบบสำหรับทดสอบไม่จดจำเบราว์เซอร์นี้แล้ว"},
}
