// What the peers send: a camera's picture, or one that is drawn here.

/** The streams of both peers. Falls back to drawing where there is no camera. */
export async function picture(kind, log) {
  if (kind === 'camera') {
    try {
      const camera = await navigator.mediaDevices.getUserMedia({ video: { width: 640, height: 480 } });
      return [camera, camera.clone()];
    } catch (error) {
      log(`There is no camera to use (${error.message}), so the picture is drawn.`);
    }
  }
  return [drawn('A', 265), drawn('B', 165)];
}

/** A moving picture with a peer's name, the time and a counter of frames. */
function drawn(name, hue) {
  const canvas = Object.assign(document.createElement('canvas'), { width: 640, height: 480 });
  const context = canvas.getContext('2d');
  let frame = 0;
  const draw = () => {
    const { width, height } = canvas;
    frame++;
    const background = context.createLinearGradient(0, 0, width, height);
    background.addColorStop(0, `hsl(${hue} 45% 22%)`);
    background.addColorStop(1, `hsl(${hue + 40} 45% 36%)`);
    context.fillStyle = background;
    context.fillRect(0, 0, width, height);
    for (let index = 0; index < 5; index++) {
      const angle = frame / 40 + index * 1.257;
      context.fillStyle = `hsl(${hue + index * 22} 70% 62% / 0.75)`;
      context.beginPath();
      context.arc(width / 2 + Math.cos(angle) * 215, height / 2 + Math.sin(angle * 1.3) * 150, 26 + 10 * Math.sin(angle * 2), 0, 2 * Math.PI);
      context.fill();
    }
    context.fillStyle = '#fff';
    context.textAlign = 'center';
    context.font = '600 150px system-ui, sans-serif';
    context.fillText(name, width / 2, height / 2 + 30);
    context.font = '26px ui-monospace, monospace';
    context.fillText(`${new Date().toISOString().slice(11, 21)}   frame ${frame}`, width / 2, height - 36);
  };
  draw();
  const stream = canvas.captureStream(30);
  // A timer, since a hidden page draws no animation frames.
  const timer = setInterval(() => (stream.getTracks().every((track) => track.readyState === 'ended') ? clearInterval(timer) : draw()), 1000 / 30);
  return stream;
}
