/* A library that nobody has loaded yet, with a segment of every kind. */
static const int table[2] = {41, 1};
static int calls;
static int zeros[4096];

int dlopen_lib_answer(void);
int dlopen_lib_answer(void) {
  ++calls;
  zeros[calls & 4095] = calls;
  return table[0] + table[1];
}
