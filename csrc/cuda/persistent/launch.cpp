#include "cuda/persistent/launch.h"

#include <cuda_runtime_api.h>

#include "cuda/persistent/kernels.h"

namespace elman::cuda::persistent {
namespace {

Kernels kernels_of(Arithmetic arithmetic) {
  switch (arithmetic) {
    case Arithmetic::kFloat64:
      return kernels_float64();
    case Arithmetic::kFloat32:
      return kernels_float32();
    case Arithmetic::kTf32:
      return kernels_tf32();
    case Arithmetic::kBFloat16:
      return kernels_bfloat16();
    case Arithmetic::kFloat16:
      return kernels_float16();
  }
  return {};
}

const void* forward_kernel(Arithmetic arithmetic, bool leaky) {
  const Kernels kernels = kernels_of(arithmetic);
  return leaky ? kernels.leaky_forward : kernels.forward;
}

const void* backward_kernel(Arithmetic arithmetic, bool leaky) {
  const Kernels kernels = kernels_of(arithmetic);
  return leaky ? kernels.leaky_backward : kernels.backward;
}

/// Lets a kernel have the shared memory and the cluster that a plan asks for. Clusters of more than
/// eight blocks are not portable and have to be allowed.
cudaError_t allow(const void* kernel, const Plan& plan) {
  cudaError_t error = cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                           plan.layout.shared_bytes);
  if (error == cudaSuccess && plan.cluster() > 8)
    error = cudaFuncSetAttribute(kernel, cudaFuncAttributeNonPortableClusterSizeAllowed, 1);
  return error;
}

/// A launch as the runtime wants it described.
struct Configuration {
  cudaLaunchConfig_t config{};
  cudaLaunchAttribute attribute{};

  Configuration(const Plan& plan, CUstream_st* stream) {
    config.gridDim = dim3(plan.blocks());
    config.blockDim = dim3(kThreads);
    config.dynamicSmemBytes = plan.layout.shared_bytes;
    config.stream = stream;
    config.attrs = &attribute;
    if (plan.cooperative()) {
      attribute.id = cudaLaunchAttributeCooperative;
      attribute.val.cooperative = 1;
      config.numAttrs = 1;
    } else if (plan.cluster() > 1) {
      attribute.id = cudaLaunchAttributeClusterDimension;
      attribute.val.clusterDim.x = plan.cluster();
      attribute.val.clusterDim.y = attribute.val.clusterDim.z = 1;
      config.numAttrs = 1;
    }
  }
};

template <typename Operands>
int launch(const Plan& plan, const void* kernel, const Workspace& workspace,
           const Operands& operands, CUstream_st* stream) {
  const cudaError_t error = allow(kernel, plan);
  if (error != cudaSuccess) return error;
  Configuration configuration(plan, stream);
  void* arguments[] = {const_cast<Layout*>(&plan.layout), const_cast<Workspace*>(&workspace),
                       const_cast<Operands*>(&operands)};
  return cudaLaunchKernelExC(&configuration.config, kernel, arguments);
}

}  // namespace

int query_device(DeviceLimits& limits) {
  int device = 0;
  cudaError_t error = cudaGetDevice(&device);
  const auto get = [&](cudaDeviceAttr attribute) {
    int value = 0;
    if (error == cudaSuccess) error = cudaDeviceGetAttribute(&value, attribute, device);
    return value;
  };
  const int major = get(cudaDevAttrComputeCapabilityMajor);
  limits.compute_capability = 10 * major + get(cudaDevAttrComputeCapabilityMinor);
  limits.multiprocessors = get(cudaDevAttrMultiProcessorCount);
  limits.shared_bytes_per_block = get(cudaDevAttrMaxSharedMemoryPerBlockOptin);
  // Eight blocks are what every device with clusters grants.
  limits.max_cluster = major >= 9 && get(cudaDevAttrClusterLaunch) != 0 ? 8 : 1;
  for (int i = 0; error == cudaSuccess && 2 << i <= limits.max_cluster; ++i) {
    Plan plan{};
    plan.layout.exchange = Exchange::kCluster;
    plan.layout.groups = 1;
    plan.layout.group_blocks = 2 << i;
    plan.layout.shared_bytes = limits.shared_bytes_per_block;  // a block a multiprocessor
    const void* const kernel = forward_kernel(Arithmetic::kFloat32, /*leaky=*/false);
    error = allow(kernel, plan);
    const Configuration configuration(plan, nullptr);
    if (error == cudaSuccess)
      error = cudaOccupancyMaxActiveClusters(&limits.clusters_at_once[i], kernel,
                                             &configuration.config);
  }
  return error;
}

int query_resident(const Plan& plan, const Problem& problem, bool backward, bool& resident) {
  resident = false;
  const void* const kernel = backward ? backward_kernel(problem.arithmetic, problem.leaky)
                                      : forward_kernel(problem.arithmetic, problem.leaky);
  cudaError_t error = allow(kernel, plan);
  int fitting = 0;  // blocks, or clusters
  if (error == cudaSuccess && plan.cluster() > 1) {
    const Configuration configuration(plan, nullptr);
    error = cudaOccupancyMaxActiveClusters(&fitting, kernel, &configuration.config);
    resident = fitting > 0;  // clusters do not wait for each other
  } else if (error == cudaSuccess) {
    int device = 0, multiprocessors = 0;
    error = cudaOccupancyMaxActiveBlocksPerMultiprocessor(&fitting, kernel, kThreads,
                                                          plan.layout.shared_bytes);
    if (error == cudaSuccess) error = cudaGetDevice(&device);
    if (error == cudaSuccess)
      error = cudaDeviceGetAttribute(&multiprocessors, cudaDevAttrMultiProcessorCount, device);
    resident = plan.cooperative() ? fitting * multiprocessors >= plan.blocks() : fitting > 0;
  }
  if (error == cudaErrorInvalidValue || error == cudaErrorLaunchOutOfResources ||
      error == cudaErrorInvalidConfiguration) {
    cudaGetLastError();  // it was a question
    return cudaSuccess;
  }
  return error;
}

int launch_forward(const Plan& plan, Arithmetic arithmetic, const Workspace& workspace,
                   const ForwardOperands& operands, CUstream_st* stream) {
  return launch(plan, forward_kernel(arithmetic, operands.leak.carried != nullptr), workspace,
                operands, stream);
}

int launch_backward(const Plan& plan, Arithmetic arithmetic, const Workspace& workspace,
                    const BackwardOperands& operands, CUstream_st* stream) {
  return launch(plan, backward_kernel(arithmetic, operands.leak.carried != nullptr), workspace,
                operands, stream);
}

}  // namespace elman::cuda::persistent
