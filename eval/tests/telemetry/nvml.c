/* A libnvidia-ml.so.1 with two GPUs: of the second the driver gives neither use nor power nor clock (as under MIG). */
#include <stdio.h>
#include <string.h>

#define NOT_SUPPORTED 3
typedef struct { unsigned int gpu, memory; } utilization;
typedef struct { unsigned long long total, free, used; } memory;
static int devices[2] = {0, 1};

int nvmlInitWithFlags(unsigned int flags) { return 0; }
int nvmlInit_v2(void) { return 0; }
int nvmlShutdown(void) { return 0; }
const char *nvmlErrorString(int code) { return "not supported"; }
int nvmlDeviceGetCount_v2(unsigned int *n) { *n = 2; return 0; }
int nvmlDeviceGetHandleByIndex_v2(unsigned int index, void **device) {
  *device = &devices[index];
  return 0;
}
int nvmlDeviceGetUUID(int *device, char *out, unsigned int size) { return snprintf(out, size, "GPU-%d", *device) < 0; }
int nvmlDeviceGetName(int *device, char *out, unsigned int size) { return snprintf(out, size, "Loopback") < 0; }
int nvmlDeviceGetUtilizationRates(int *device, utilization *out) {
  if (*device) return NOT_SUPPORTED;
  out->gpu = 0;
  out->memory = 7;
  return 0;
}
int nvmlDeviceGetMemoryInfo(int *device, memory *out) {
  out->total = 80ULL << 30;
  out->used = 512ULL << 20;
  out->free = out->total - out->used;
  return 0;
}
int nvmlDeviceGetPowerUsage(int *device, unsigned int *milliwatts) {
  if (*device) return NOT_SUPPORTED;
  *milliwatts = 123456;
  return 0;
}
int nvmlDeviceGetClockInfo(int *device, int type, unsigned int *mhz) {
  if (*device || type != 1) return NOT_SUPPORTED;
  *mhz = 1980;
  return 0;
}
