;; Finds the end of a JSON value (RFC 8259) in the memory, or what is wrong with it. json-text.ts describes what it
;; accepts and calls it. `npm run generate` assembles json-scan.wasm from this file.
;;
;; It is WebAssembly because it runs for every event, on the thread that serves the sockets, and one SIMD instruction
;; checks 16 bytes of a string: 0.14 µs for 200 bytes of JSON, against 0.53 µs byte by byte in JavaScript and 1.15 µs
;; for JSON.parse (floor F9). The gain is a fifth of the append rate of the embedded log.
;;
;; Positions are byte offsets in the memory. Every function returns the position after what it has read, or a fault
;; below zero. Reads of 16 bytes may go past `end`, so json-text.ts allocates more memory than it fills.

(module
  (memory (export "memory") 1)

  ;; Kinds of faults, as in json-text.ts.
  (global $syntax i32 (i32.const 0))
  (global $too_deep i32 (i32.const 1))
  (global $nul_escape i32 (i32.const 2))
  (global $lone_surrogate i32 (i32.const 3))
  (global $bad_utf8 i32 (i32.const 4))
  (global $long_number i32 (i32.const 5))
  (global $long_numbers i32 (i32.const 6))

  (global $max_depth i32 (i32.const 64))
  (global $max_number_digits i32 (i32.const 400))
  (global $max_number_growth_bytes i32 (i32.const 1048576))

  ;; Whether the numbers are checked, and how many more bytes they may take, written out, than were sent.
  (global $checks_numbers (mut i32) (i32.const 0))
  (global $growth_left (mut i32) (i32.const 0))

  ;; Encodes a kind and a position as one number below zero: -1 - (at * 8 + kind).
  (func $fault (param $kind i32) (param $at i32) (result i32)
    (i32.xor
      (i32.or (i32.shl (local.get $at) (i32.const 3)) (local.get $kind))
      (i32.const -1)))

  ;; The first position that is not white space (space, tab, line feed, carriage return), or `end`.
  (func $skip_space (param $at i32) (param $end i32) (result i32)
    (local $byte i32)
    (block $done
      (loop $next
        (br_if $done (i32.ge_u (local.get $at) (local.get $end)))
        (local.set $byte (i32.load8_u (local.get $at)))
        (br_if $done (i32.gt_u (local.get $byte) (i32.const 0x20)))
        ;; One bit for each of the four.
        (br_if $done
          (i64.eqz
            (i64.and
              (i64.shr_u (i64.const 0x100002600) (i64.extend_i32_u (local.get $byte)))
              (i64.const 1))))
        (local.set $at (i32.add (local.get $at) (i32.const 1)))
        (br $next)))
    (local.get $at))

  ;; The string whose opening quote is at `at`.
  (func $string (param $at i32) (param $end i32) (result i32)
    (local $block v128) (local $stops i32) (local $byte i32)
    (local.set $at (i32.add (local.get $at) (i32.const 1)))
    (loop $more
      ;; Skips ordinary bytes, 16 at a time. It stops at a quote, a backslash, a control character and bytes above 0x7f,
      ;; which as signed bytes are below 0x20 too.
      (block $stopped
        (loop $plain
          (if (i32.ge_u (local.get $at) (local.get $end))
            (then (return (call $fault (global.get $syntax) (local.get $end)))))
          (local.set $block (v128.load (local.get $at)))
          (local.set $stops
            (i8x16.bitmask
              (v128.or
                (i8x16.lt_s (local.get $block) (i8x16.splat (i32.const 0x20)))
                (v128.or
                  (i8x16.eq (local.get $block) (i8x16.splat (i32.const 0x22)))
                  (i8x16.eq (local.get $block) (i8x16.splat (i32.const 0x5c)))))))
          (br_if $stopped (local.get $stops))
          (local.set $at (i32.add (local.get $at) (i32.const 16)))
          (br $plain)))
      (local.set $at (i32.add (local.get $at) (i32.ctz (local.get $stops))))
      (if (i32.ge_u (local.get $at) (local.get $end))
        (then (return (call $fault (global.get $syntax) (local.get $end)))))
      (local.set $byte (i32.load8_u (local.get $at)))
      (if (i32.eq (local.get $byte) (i32.const 0x22))
        (then (return (i32.add (local.get $at) (i32.const 1)))))
      (if (i32.ge_u (local.get $byte) (i32.const 0x80))
        (then (local.set $at (call $character (local.get $at) (local.get $end))))
        (else
          (if (i32.eq (local.get $byte) (i32.const 0x5c))
            (then (local.set $at (call $escape (local.get $at) (local.get $end))))
            (else (return (call $fault (global.get $syntax) (local.get $at)))))))
      (br_if $more (i32.ge_s (local.get $at) (i32.const 0))))
    (local.get $at))

  ;; A character of two to four bytes, checked against the table of RFC 3629, section 4.
  (func $character (param $at i32) (param $end i32) (result i32)
    (local $first i32) (local $second i32) (local $length i32) (local $next i32)
    (local.set $first (i32.load8_u (local.get $at)))
    (local.set $length
      (if (result i32) (i32.lt_u (local.get $first) (i32.const 0xc2))
        (then (i32.const 0))
        (else
          (if (result i32) (i32.lt_u (local.get $first) (i32.const 0xe0))
            (then (i32.const 2))
            (else
              (if (result i32) (i32.lt_u (local.get $first) (i32.const 0xf0))
                (then (i32.const 3))
                (else
                  (if (result i32) (i32.lt_u (local.get $first) (i32.const 0xf5))
                    (then (i32.const 4))
                    (else (i32.const 0))))))))))
    (block $bad
      (br_if $bad (i32.eqz (local.get $length)))
      (br_if $bad (i32.gt_u (i32.add (local.get $at) (local.get $length)) (local.get $end)))
      (local.set $second (i32.load8_u (i32.add (local.get $at) (i32.const 1))))
      (br_if $bad
        (i32.lt_u (local.get $second)
          (select (i32.const 0xa0)
            (select (i32.const 0x90) (i32.const 0x80) (i32.eq (local.get $first) (i32.const 0xf0)))
            (i32.eq (local.get $first) (i32.const 0xe0)))))
      (br_if $bad
        (i32.gt_u (local.get $second)
          (select (i32.const 0x9f)
            (select (i32.const 0x8f) (i32.const 0xbf) (i32.eq (local.get $first) (i32.const 0xf4)))
            (i32.eq (local.get $first) (i32.const 0xed)))))
      (local.set $next (i32.const 2))
      (block $whole
        (loop $rest
          (br_if $whole (i32.ge_u (local.get $next) (local.get $length)))
          (br_if $bad
            (i32.ne
              (i32.and (i32.load8_u (i32.add (local.get $at) (local.get $next))) (i32.const 0xc0))
              (i32.const 0x80)))
          (local.set $next (i32.add (local.get $next) (i32.const 1)))
          (br $rest)))
      (return (i32.add (local.get $at) (local.get $length))))
    (call $fault (global.get $bad_utf8) (local.get $at)))

  ;; The escape whose backslash is at `at`.
  (func $escape (param $at i32) (param $end i32) (result i32)
    (local $letter i32) (local $unit i32) (local $second i32)
    (if (i32.ge_u (i32.add (local.get $at) (i32.const 1)) (local.get $end))
      (then (return (call $fault (global.get $syntax) (local.get $end)))))
    (local.set $letter (i32.load8_u (i32.add (local.get $at) (i32.const 1))))
    (if (i32.ne (local.get $letter) (i32.const 0x75)) ;; u
      (then
        (if
          (i32.or
            (i32.or
              (i32.or (i32.eq (local.get $letter) (i32.const 0x22)) (i32.eq (local.get $letter) (i32.const 0x5c)))
              (i32.or (i32.eq (local.get $letter) (i32.const 0x2f)) (i32.eq (local.get $letter) (i32.const 0x62)))) ;; / b
            (i32.or
              (i32.or (i32.eq (local.get $letter) (i32.const 0x66)) (i32.eq (local.get $letter) (i32.const 0x6e))) ;; f n
              (i32.or (i32.eq (local.get $letter) (i32.const 0x72)) (i32.eq (local.get $letter) (i32.const 0x74))))) ;; r t
          (then (return (i32.add (local.get $at) (i32.const 2)))))
        (return (call $fault (global.get $syntax) (local.get $at)))))
    (local.set $unit (call $unit (i32.add (local.get $at) (i32.const 2)) (local.get $end)))
    (if (i32.lt_s (local.get $unit) (i32.const 0))
      (then (return (call $fault (global.get $syntax) (local.get $at)))))
    (if (i32.eqz (local.get $unit))
      (then (return (call $fault (global.get $nul_escape) (local.get $at)))))
    ;; Not a surrogate.
    (if (i32.ne (i32.and (local.get $unit) (i32.const 0xf800)) (i32.const 0xd800))
      (then (return (i32.add (local.get $at) (i32.const 6)))))
    ;; The first half of a surrogate pair; the second half must follow.
    (block $lone
      (br_if $lone (i32.ge_u (local.get $unit) (i32.const 0xdc00)))
      (br_if $lone (i32.gt_u (i32.add (local.get $at) (i32.const 12)) (local.get $end)))
      (br_if $lone (i32.ne (i32.load16_u (i32.add (local.get $at) (i32.const 6))) (i32.const 0x755c))) ;; \u
      (local.set $second (call $unit (i32.add (local.get $at) (i32.const 8)) (local.get $end)))
      (br_if $lone (i32.lt_s (local.get $second) (i32.const 0)))
      (br_if $lone (i32.ne (i32.and (local.get $second) (i32.const 0xfc00)) (i32.const 0xdc00)))
      (return (i32.add (local.get $at) (i32.const 12))))
    (call $fault (global.get $lone_surrogate) (local.get $at)))

  ;; The UTF-16 unit that four hexadecimal digits name, or -1.
  (func $unit (param $at i32) (param $end i32) (result i32)
    (local $last i32) (local $unit i32) (local $digit i32)
    (local.set $last (i32.add (local.get $at) (i32.const 4)))
    (if (i32.gt_u (local.get $last) (local.get $end)) (then (return (i32.const -1))))
    (loop $next
      (local.set $digit (i32.sub (i32.load8_u (local.get $at)) (i32.const 0x30)))
      (if (i32.gt_u (local.get $digit) (i32.const 9))
        (then
          ;; A letter, converted to lower case.
          (local.set $digit
            (i32.sub (i32.or (i32.load8_u (local.get $at)) (i32.const 0x20)) (i32.const 0x61)))
          (if (i32.gt_u (local.get $digit) (i32.const 5)) (then (return (i32.const -1))))
          (local.set $digit (i32.add (local.get $digit) (i32.const 10)))))
      (local.set $unit (i32.or (i32.shl (local.get $unit) (i32.const 4)) (local.get $digit)))
      (local.set $at (i32.add (local.get $at) (i32.const 1)))
      (br_if $next (i32.lt_u (local.get $at) (local.get $last))))
    (local.get $unit))

  ;; The first position from `at` on that is not a digit.
  (func $digits (param $at i32) (param $end i32) (result i32)
    (block $done
      (loop $next
        (br_if $done (i32.ge_u (local.get $at) (local.get $end)))
        (br_if $done
          (i32.gt_u (i32.sub (i32.load8_u (local.get $at)) (i32.const 0x30)) (i32.const 9)))
        (local.set $at (i32.add (local.get $at) (i32.const 1)))
        (br $next)))
    (local.get $at))

  ;; The byte at a position, or 0 past the end.
  (func $byte (param $at i32) (param $end i32) (result i32)
    (if (result i32) (i32.lt_u (local.get $at) (local.get $end))
      (then (i32.load8_u (local.get $at)))
      (else (i32.const 0))))

  (func $number (param $at i32) (param $end i32) (result i32)
    (local $start i32) (local $past i32) (local $byte i32)
    (local.set $start (local.get $at))
    (if (i32.eq (i32.load8_u (local.get $at)) (i32.const 0x2d)) ;; -
      (then (local.set $at (i32.add (local.get $at) (i32.const 1)))))
    (if (i32.eq (call $byte (local.get $at) (local.get $end)) (i32.const 0x30)) ;; 0
      (then (local.set $at (i32.add (local.get $at) (i32.const 1))))
      (else
        (local.set $past (call $digits (local.get $at) (local.get $end)))
        (if (i32.eq (local.get $past) (local.get $at))
          (then (return (call $fault (global.get $syntax) (local.get $at)))))
        (local.set $at (local.get $past))))
    (if (i32.eq (call $byte (local.get $at) (local.get $end)) (i32.const 0x2e)) ;; .
      (then
        (local.set $past (call $digits (i32.add (local.get $at) (i32.const 1)) (local.get $end)))
        (if (i32.eq (local.get $past) (i32.add (local.get $at) (i32.const 1)))
          (then (return (call $fault (global.get $syntax) (local.get $at)))))
        (local.set $at (local.get $past))))
    (if
      (i32.eq (i32.or (call $byte (local.get $at) (local.get $end)) (i32.const 0x20)) (i32.const 0x65)) ;; e E
      (then
        (local.set $at (i32.add (local.get $at) (i32.const 1)))
        (local.set $byte (call $byte (local.get $at) (local.get $end)))
        (if (i32.or (i32.eq (local.get $byte) (i32.const 0x2b)) (i32.eq (local.get $byte) (i32.const 0x2d))) ;; + -
          (then (local.set $at (i32.add (local.get $at) (i32.const 1)))))
        (local.set $past (call $digits (local.get $at) (local.get $end)))
        (if (i32.eq (local.get $past) (local.get $at))
          (then (return (call $fault (global.get $syntax) (local.get $at)))))
        (return (call $written (local.get $start) (local.get $past)))))
    ;; A short number without an exponent is written out as it was sent.
    (if (i32.le_u (i32.sub (local.get $at) (local.get $start)) (global.get $max_number_digits))
      (then (return (local.get $at))))
    (call $written (local.get $start) (local.get $at)))

  ;; `end` if the number from `start` to `end` may be as long as it is when it is written out.
  (func $written (param $start i32) (param $end i32) (result i32)
    (local $at i32) (local $past i32) (local $whole i32) (local $fraction i32) (local $exponent i32) (local $digits i32)
    (if (i32.eqz (global.get $checks_numbers)) (then (return (local.get $end))))
    (local.set $at
      (i32.add (local.get $start) (i32.eq (i32.load8_u (local.get $start)) (i32.const 0x2d)))) ;; -
    (local.set $past (call $digits (local.get $at) (local.get $end)))
    (local.set $whole (i32.sub (local.get $past) (local.get $at)))
    (if (i32.eq (call $byte (local.get $past) (local.get $end)) (i32.const 0x2e)) ;; .
      (then
        (local.set $at (i32.add (local.get $past) (i32.const 1)))
        (local.set $past (call $digits (local.get $at) (local.get $end)))
        (local.set $fraction (i32.sub (local.get $past) (local.get $at)))))
    (local.set $exponent (call $exponent (local.get $past) (local.get $end)))
    (local.set $digits
      (i32.add
        (call $at_least (i32.const 1) (i32.add (local.get $whole) (local.get $exponent)))
        (call $at_least (i32.const 0) (i32.sub (local.get $fraction) (local.get $exponent)))))
    (if (i32.gt_u (local.get $digits) (global.get $max_number_digits))
      (then (return (call $fault (global.get $long_number) (local.get $start)))))
    (global.set $growth_left
      (i32.sub
        (global.get $growth_left)
        (call $at_least (i32.const 0)
          (i32.sub (local.get $digits) (i32.sub (local.get $end) (local.get $start))))))
    (if (i32.lt_s (global.get $growth_left) (i32.const 0))
      (then (return (call $fault (global.get $long_numbers) (local.get $start)))))
    (local.get $end))

  ;; The exponent that begins with e or E at `at`, or 0 at `end`. A large one is cut: it is too large in any case.
  (func $exponent (param $at i32) (param $end i32) (result i32)
    (local $sign i32) (local $exponent i32) (local $digit i32)
    (block $done
      (loop $next
        (local.set $at (i32.add (local.get $at) (i32.const 1)))
        (br_if $done (i32.ge_u (local.get $at) (local.get $end)))
        (br_if $done (i32.gt_u (local.get $exponent) (i32.const 10000000)))
        (local.set $digit (i32.sub (i32.load8_u (local.get $at)) (i32.const 0x30)))
        (if (i32.le_u (local.get $digit) (i32.const 9))
          (then
            (local.set $exponent
              (i32.add (i32.mul (local.get $exponent) (i32.const 10)) (local.get $digit))))
          (else (local.set $sign (i32.eq (local.get $digit) (i32.const -3))))) ;; -
        (br $next)))
    (select
      (i32.sub (i32.const 0) (local.get $exponent))
      (local.get $exponent)
      (local.get $sign)))

  (func $at_least (param $least i32) (param $number i32) (result i32)
    (select (local.get $number) (local.get $least) (i32.gt_s (local.get $number) (local.get $least))))

  ;; true, false or null.
  (func $word (param $at i32) (param $end i32) (result i32)
    (local $four i32) (local $past i32)
    (block $bad
      (local.set $past (i32.add (local.get $at) (i32.const 4)))
      (br_if $bad (i32.gt_u (local.get $past) (local.get $end)))
      (local.set $four (i32.load (local.get $at)))
      (if (i32.eq (local.get $four) (i32.const 0x65757274)) (then (return (local.get $past)))) ;; "true", lowest first
      (if (i32.eq (local.get $four) (i32.const 0x6c6c756e)) (then (return (local.get $past)))) ;; "null"
      (br_if $bad (i32.ne (local.get $four) (i32.const 0x736c6166))) ;; "fals"
      (br_if $bad (i32.ne (call $byte (local.get $past) (local.get $end)) (i32.const 0x65))) ;; e
      (return (i32.add (local.get $past) (i32.const 1))))
    (call $fault (global.get $syntax) (local.get $at)))

  ;; A member's name and its colon; `at` is where the name must begin.
  (func $name (param $at i32) (param $end i32) (result i32)
    (if (i32.ne (call $byte (local.get $at) (local.get $end)) (i32.const 0x22))
      (then (return (call $fault (global.get $syntax) (local.get $at)))))
    (local.set $at (call $string (local.get $at) (local.get $end)))
    (if (i32.lt_s (local.get $at) (i32.const 0)) (then (return (local.get $at))))
    (local.set $at (call $skip_space (local.get $at) (local.get $end)))
    (if (i32.ne (call $byte (local.get $at) (local.get $end)) (i32.const 0x3a)) ;; :
      (then (return (call $fault (global.get $syntax) (local.get $at)))))
    (i32.add (local.get $at) (i32.const 1)))

  ;; The value that begins at or after `at`, whatever its numbers; white space before it is skipped.
  (func (export "value") (param $at i32) (param $end i32) (result i32)
    (global.set $checks_numbers (i32.const 0))
    (call $value (local.get $at) (local.get $end)))

  (func $value (param $at i32) (param $end i32) (result i32)
    (local $byte i32) (local $depth i32)
    ;; One bit for each open container, the innermost lowest: 1 for an object.
    (local $open i64)
    (loop $value
      (local.set $at (call $skip_space (local.get $at) (local.get $end)))
      (if (i32.ge_u (local.get $at) (local.get $end))
        (then (return (call $fault (global.get $syntax) (local.get $end)))))
      (local.set $byte (i32.load8_u (local.get $at)))
      (block $ended
        (if (i32.eq (local.get $byte) (i32.const 0x22)) ;; "
          (then
            (local.set $at (call $string (local.get $at) (local.get $end)))
            (br $ended)))
        (if (i32.eq (i32.or (local.get $byte) (i32.const 0x20)) (i32.const 0x7b)) ;; { [
          (then
            (local.set $depth (i32.add (local.get $depth) (i32.const 1)))
            (if (i32.gt_u (local.get $depth) (global.get $max_depth))
              (then (return (call $fault (global.get $too_deep) (local.get $at)))))
            (local.set $open
              (i64.or
                (i64.shl (local.get $open) (i64.const 1))
                (i64.extend_i32_u (i32.eq (local.get $byte) (i32.const 0x7b)))))
            (local.set $at
              (call $skip_space (i32.add (local.get $at) (i32.const 1)) (local.get $end)))
            ;; An empty container ends below, at its bracket. The code of the closing bracket is the opening one plus 2.
            (br_if $ended
              (i32.eq
                (call $byte (local.get $at) (local.get $end))
                (i32.add (local.get $byte) (i32.const 2))))
            (br_if $value (i32.eq (local.get $byte) (i32.const 0x5b)))
            (local.set $at (call $name (local.get $at) (local.get $end)))
            (br_if $value (i32.ge_s (local.get $at) (i32.const 0)))
            (return (local.get $at))))
        (if
          (i32.or
            (i32.eq (local.get $byte) (i32.const 0x2d))
            (i32.le_u (i32.sub (local.get $byte) (i32.const 0x30)) (i32.const 9)))
          (then
            (local.set $at (call $number (local.get $at) (local.get $end)))
            (br $ended)))
        (local.set $at (call $word (local.get $at) (local.get $end))))
      (if (i32.lt_s (local.get $at) (i32.const 0)) (then (return (local.get $at))))
      ;; A value has ended here: closes containers until another value must follow.
      (loop $close
        (if (i32.eqz (local.get $depth)) (then (return (local.get $at))))
        (local.set $at (call $skip_space (local.get $at) (local.get $end)))
        (if (i32.ge_u (local.get $at) (local.get $end))
          (then (return (call $fault (global.get $syntax) (local.get $end)))))
        (local.set $byte (i32.load8_u (local.get $at)))
        (if (i32.eq (local.get $byte) (i32.const 0x2c)) ;; ,
          (then
            (local.set $at (i32.add (local.get $at) (i32.const 1)))
            (br_if $value (i64.eqz (i64.and (local.get $open) (i64.const 1))))
            (local.set $at
              (call $name (call $skip_space (local.get $at) (local.get $end)) (local.get $end)))
            (br_if $value (i32.ge_s (local.get $at) (i32.const 0)))
            (return (local.get $at))))
        (if
          (i32.ne
            (local.get $byte)
            (select (i32.const 0x7d) (i32.const 0x5d) (i32.wrap_i64 (i64.and (local.get $open) (i64.const 1))))) ;; } ]
          (then (return (call $fault (global.get $syntax) (local.get $at)))))
        (local.set $open (i64.shr_u (local.get $open) (i64.const 1)))
        (local.set $depth (i32.sub (local.get $depth) (i32.const 1)))
        (local.set $at (i32.add (local.get $at) (i32.const 1)))
        (br $close)))
    (unreachable))

  ;; 1 if the bytes from `at` to `end` are ASCII and none of them is 0, else 0.
  (func $plain (export "plain") (param $at i32) (param $end i32) (result i32)
    (local $stops i32) (local $rest i32)
    (block $done
      (loop $next
        (br_if $done (i32.ge_u (local.get $at) (local.get $end)))
        ;; A byte above 0x7f is below 1 as a signed byte.
        (local.set $stops
          (i8x16.bitmask (i8x16.lt_s (v128.load (local.get $at)) (i8x16.splat (i32.const 1)))))
        (local.set $rest (i32.sub (local.get $end) (local.get $at)))
        (if (i32.lt_u (local.get $rest) (i32.const 16))
          (then ;; Only the first bytes of the block count.
            (local.set $stops
              (i32.and
                (local.get $stops)
                (i32.sub (i32.shl (i32.const 1) (local.get $rest)) (i32.const 1))))))
        (if (local.get $stops) (then (return (i32.const 0))))
        (local.set $at (i32.add (local.get $at) (i32.const 16)))
        (br $next)))
    (i32.const 1))

  ;; 0 if `at` to `end` is exactly one value, white space around it allowed, else a fault.
  (func (export "check") (param $at i32) (param $end i32) (result i32)
    (global.set $checks_numbers (i32.const 1))
    (global.set $growth_left (global.get $max_number_growth_bytes))
    (local.set $at (call $value (local.get $at) (local.get $end)))
    (if (i32.lt_s (local.get $at) (i32.const 0)) (then (return (local.get $at))))
    (local.set $at (call $skip_space (local.get $at) (local.get $end)))
    (if (i32.lt_u (local.get $at) (local.get $end))
      (then (return (call $fault (global.get $syntax) (local.get $at)))))
    (i32.const 0)))
